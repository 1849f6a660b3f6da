// SPDX-License-Identifier: GPL-2.0

/*
 * What FUSE DAX in Rust needs from C: the fields of FUSE's structures, macros that
 * define functions, and exports.
 */

#include "../../../fs/fuse/dev.h"
#include "../../../fs/fuse/fuse_i.h"
#include <linux/export.h>
#include <linux/iomap.h>
#include "dax_glue.h"

/* Inlines both of Rust's functions' calls, as for every file system. */
static DEFINE_IOMAP_ITER_NEXT_END(rdax_fuse_iomap_next, rdax_fuse_iomap_begin,
				  rdax_fuse_iomap_end);

const struct iomap_ops rdax_fuse_iomap_ops = {
	.iomap_next = rdax_fuse_iomap_next,
};

void *rdax_fuse_conn_window(struct fuse_conn *fc)
{
	return fc->dax;
}

void rdax_fuse_set_conn_window(struct fuse_conn *fc, void *window)
{
	fc->dax = window;
}

unsigned int rdax_fuse_conn_mode(struct fuse_conn *fc)
{
	return fc->dax_mode;
}

/* An enum, which bindgen would have to know fuse_i.h for. */
int fuse_dax_conn_alloc(struct fuse_conn *fc, enum fuse_dax_mode mode,
			struct dax_device *dax_dev)
{
	fc->dax_mode = mode;
	return rdax_fuse_conn_alloc(fc, dax_dev);
}

bool rdax_fuse_conn_per_inode(struct fuse_conn *fc)
{
	return fc->inode_dax;
}

struct fuse_conn *rdax_fuse_sb_conn(struct super_block *sb)
{
	return get_fuse_conn_super(sb);
}

struct fuse_conn *rdax_fuse_inode_conn(struct inode *inode)
{
	return get_fuse_conn(inode);
}

void *rdax_fuse_inode_data(struct inode *inode)
{
	return get_fuse_inode(inode)->dax;
}

void rdax_fuse_set_inode_data(struct fuse_inode *fi, void *data)
{
	fi->dax = data;
}

struct inode *rdax_fuse_vfs_inode(struct fuse_inode *fi)
{
	return &fi->inode;
}

u64 rdax_fuse_node_id(struct inode *inode)
{
	return get_node_id(inode);
}

u64 rdax_fuse_file_handle(struct file *file)
{
	struct fuse_file *ff = file->private_data;

	return ff->fh;
}

int rdax_fuse_send(struct inode *inode, struct fuse_args *args)
{
	return fuse_simple_async(get_fuse_mount(inode), args, GFP_KERNEL);
}

int rdax_fuse_send_unbound(struct fuse_conn *fc, struct fuse_args *args)
{
	args->force = true;
	args->nocreds = true;
	return fuse_chan_send_async(fc->chan, args, GFP_NOFS);
}

/* FUSE_IO_PRIV_SYNC() is an initializer. */
ssize_t rdax_fuse_direct_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_io_priv io = FUSE_IO_PRIV_SYNC(iocb);
	ssize_t ret;

	ret = fuse_direct_io(&io, from, &iocb->ki_pos, FUSE_DIO_WRITE);
	fuse_write_update_attr(inode, iocb->ki_pos, ret);
	return ret;
}

/* The functions are Rust's; only C can put their names into the export table. */
EXPORT_SYMBOL_GPL(fuse_dax_cancel_work);
EXPORT_SYMBOL_GPL(fuse_dax_remove_window);
EXPORT_SYMBOL_GPL(fuse_dax_setup_window);
