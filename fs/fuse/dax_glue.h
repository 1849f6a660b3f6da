/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between FUSE DAX in Rust and its C neighbours.
 *
 * fuse_i.h is not for bindgen: what Rust needs of FUSE's structures, which are
 * opaque to it, are the functions here.
 */
#ifndef _RDAX_FUSE_DAX_GLUE_H
#define _RDAX_FUSE_DAX_GLUE_H

#include <linux/fuse.h>
#include <linux/iomap.h>
#include <linux/types.h>
#include "../../../fs/fuse/args.h"

struct dax_device;
struct file;
struct fuse_conn;
struct fuse_inode;
struct inode;
struct iov_iter;
struct kiocb;
struct super_block;
struct virtio_device;
struct vm_area_struct;

/* In dax_glue.c, for Rust. */

extern const struct iomap_ops rdax_fuse_iomap_ops;

/* A connection's window, null without DAX; and where it is kept. */
void *rdax_fuse_conn_window(struct fuse_conn *fc);
void rdax_fuse_set_conn_window(struct fuse_conn *fc, void *window);
/* The mount option: enum fuse_dax_mode. */
unsigned int rdax_fuse_conn_mode(struct fuse_conn *fc);
/* Whether the server chooses DAX for each file. */
bool rdax_fuse_conn_per_inode(struct fuse_conn *fc);
struct fuse_conn *rdax_fuse_sb_conn(struct super_block *sb);
struct fuse_conn *rdax_fuse_inode_conn(struct inode *inode);
/* Rust's data of an inode, which kfree() frees. */
void *rdax_fuse_inode_data(struct inode *inode);
void rdax_fuse_set_inode_data(struct fuse_inode *fi, void *data);
struct inode *rdax_fuse_vfs_inode(struct fuse_inode *fi);
u64 rdax_fuse_node_id(struct inode *inode);
/* The server's handle of an open file. */
u64 rdax_fuse_file_handle(struct file *file);
/* Sends a request that calls args->end when it was answered, which may be now. */
int rdax_fuse_send(struct inode *inode, struct fuse_args *args);
/* The same without the credentials of a task, and without waiting. */
int rdax_fuse_send_unbound(struct fuse_conn *fc, struct fuse_args *args);
ssize_t rdax_fuse_direct_write(struct kiocb *iocb, struct iov_iter *from);

/* In inode.c; fuse_i.h declares it. */
void fuse_invalidate_atime(struct inode *inode);

/* In Rust, for dax_glue.c. */

int rdax_fuse_iomap_begin(struct inode *inode, loff_t pos, loff_t length,
			  unsigned int flags, struct iomap *iomap,
			  struct iomap *srcmap);
int rdax_fuse_iomap_end(struct inode *inode, loff_t pos, loff_t length,
			ssize_t written, unsigned int flags,
			struct iomap *iomap);

/* In Rust, as fuse_i.h declares them; but for enums, which have to be unsigned int there. */

ssize_t fuse_dax_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t fuse_dax_write_iter(struct kiocb *iocb, struct iov_iter *from);
int fuse_dax_mmap(struct file *file, struct vm_area_struct *vma);
int fuse_dax_break_layouts(struct inode *inode, u64 dmap_start, u64 dmap_end);
void fuse_dax_conn_free(struct fuse_conn *fc);
int rdax_fuse_conn_alloc(struct fuse_conn *fc, struct dax_device *dax_dev);
bool fuse_dax_inode_alloc(struct super_block *sb, struct fuse_inode *fi);
void fuse_dax_inode_init(struct inode *inode, unsigned int flags);
void fuse_dax_inode_cleanup(struct inode *inode);
void fuse_dax_dontcache(struct inode *inode, unsigned int flags);
bool fuse_dax_check_alignment(struct fuse_conn *fc, unsigned int map_alignment);
void fuse_dax_cancel_work(struct fuse_conn *fc);
int fuse_dax_setup_window(struct virtio_device *vdev, struct dax_device **dax_dev);
void fuse_dax_remove_window(struct dax_device *dax_dev);

#endif
