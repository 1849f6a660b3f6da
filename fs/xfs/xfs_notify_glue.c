// SPDX-License-Identifier: GPL-2.0
/*
 * What XFS's notify_failure in Rust needs of XFS.  In C, because XFS's headers are
 * macros, inline functions and bit fields of structures that change with every
 * release: binding them would bind all of XFS.  Nothing is decided here.
 */
#include "xfs_platform.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_alloc.h"
#include "xfs_bit.h"
#include "xfs_bmap.h"
#include "xfs_btree.h"
#include "xfs_inode.h"
#include "xfs_icache.h"
#include "xfs_rmap.h"
#include "xfs_rmap_btree.h"
#include "xfs_trans.h"
#include "xfs_ag.h"
#include "xfs_notify_failure.h"
#include "xfs_rtgroup.h"
#include "xfs_rtrmap_btree.h"
#include "xfs_healthmon.h"

#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/fserror.h>
#include <linux/mm.h>

#include "../../mm/memory_failure_dax.h"
#include "xfs_notify_rust.h"

/*
 * Unmount waits for active references before it frees anything, and before it takes
 * s_umount, which freezing wants too.  A file system that is not born may yet fail to
 * be mounted and free btp in spite of them.
 */
bool
xfs_dax_pin(
	void			*holder)
{
	struct xfs_buftarg	*btp = holder;
	struct xfs_mount	*mp = btp->bt_mount;
	struct super_block	*sb = mp->m_super;

	/* Pairs with super_wake(): what mounting did is seen. */
	if (!(smp_load_acquire(&sb->s_flags) & SB_BORN)) {
		xfs_warn(mp, "filesystem is not ready for notify_failure()!");
		return false;
	}
	return atomic_inc_not_zero(&sb->s_active);
}

void
xfs_dax_unpin(
	void			*holder)
{
	struct xfs_buftarg	*btp = holder;
	struct super_block	*sb = btp->bt_mount->m_super;

	mf_dax_put_super(sb);
}

struct xfs_mount *
xfs_dax_mount(
	struct xfs_buftarg	*btp)
{
	return btp->bt_mount;
}

static void
xfs_dax_add_area(
	struct xfs_dax_layout	*layout,
	struct xfs_dax_area	area)
{
	layout->area[layout->areas++] = area;
}

/* Which parts btp has.  The data and the realtime data may be on one device. */
void
xfs_dax_layout(
	struct xfs_buftarg	*btp,
	struct xfs_dax_layout	*layout)
{
	struct xfs_mount	*mp = btp->bt_mount;
	struct xfs_groups	*rt = &mp->m_groups[XG_TYPE_RTG];

	memset(layout, 0, sizeof(*layout));
	layout->origin = btp->bt_dax_part_off;
	layout->block_shift = mp->m_sb.sb_blocklog;

	if (btp == mp->m_ddev_targp)
		xfs_dax_add_area(layout, (struct xfs_dax_area) {
			.role	= XFS_DAX_DATA,
			.rmap	= xfs_has_rmapbt(mp),
			.blocks	= mp->m_sb.sb_dblocks,
			.stride	= mp->m_sb.sb_agblocks,
			.number_shift = mp->m_sb.sb_agblklog,
		});
	else if (btp == mp->m_logdev_targp)
		xfs_dax_add_area(layout, (struct xfs_dax_area) {
			.role	= XFS_DAX_LOG,
			.blocks	= mp->m_sb.sb_logblocks,
		});
	if (btp == mp->m_rtdev_targp)
		xfs_dax_add_area(layout, (struct xfs_dax_area) {
			.role	= XFS_DAX_RT,
			.rmap	= xfs_has_rtrmapbt(mp),
			.first	= rt->start_fsb,
			.blocks	= mp->m_sb.sb_rblocks,
			.stride	= rt->has_daddr_gaps ?
					1ULL << rt->blklog : rt->blocks,
			.number_shift = rt->blklog,
		});
}

struct xfs_dax_query {
	xfs_dax_rmap_fn		fn;
	void			*priv;
};

static int
xfs_dax_query_fn(
	struct xfs_btree_cur		*cur,
	const struct xfs_rmap_irec	*rec,
	void				*data)
{
	struct xfs_dax_query		*query = data;
	struct xfs_dax_rmap		extent = {
		.start	= rec->rm_startblock,
		.count	= rec->rm_blockcount,
		.owner	= rec->rm_owner,
		.offset	= rec->rm_offset,
		.attr	= rec->rm_flags & XFS_RMAP_ATTR_FORK,
		.tree	= rec->rm_flags & XFS_RMAP_BMBT_BLOCK,
	};

	return query->fn(&extent, query->priv);
}

/*
 * Calls fn for the extents that have one of the blocks from first to last of a group, in
 * their order, with the group's reverse map locked.  A group that is not there (any
 * more) has none.
 */
int
xfs_dax_query(
	struct xfs_mount	*mp,
	enum xfs_dax_role	role,
	u32			group,
	u32			first,
	u32			last,
	xfs_dax_rmap_fn		fn,
	void			*priv)
{
	struct xfs_dax_query	query = { .fn = fn, .priv = priv };
	struct xfs_rmap_irec	low = { .rm_startblock = first };
	struct xfs_rmap_irec	high;
	struct xfs_group	*xg;
	struct xfs_buf		*agf_bp = NULL;
	struct xfs_rtgroup	*rtg = NULL;
	struct xfs_btree_cur	*cur;
	struct xfs_trans	*tp;
	int			error = 0;

	xg = xfs_group_grab(mp, group,
			role == XFS_DAX_RT ? XG_TYPE_RTG : XG_TYPE_AG);
	if (!xg)
		return 0;
	tp = xfs_trans_alloc_empty(mp);

	if (role == XFS_DAX_RT) {
		rtg = to_rtg(xg);
		xfs_rtgroup_lock(rtg, XFS_RTGLOCK_RMAP);
		cur = xfs_rtrmapbt_init_cursor(tp, rtg);
	} else {
		error = xfs_alloc_read_agf(to_perag(xg), tp, 0, &agf_bp);
		if (error)
			goto out;
		cur = xfs_rmapbt_init_cursor(mp, tp, agf_bp,
				to_perag(xg));
	}

	/* Of those at the last block all, whatever the rest of their key. */
	memset(&high, 0xFF, sizeof(high));
	high.rm_startblock = last;
	error = xfs_rmap_query_range(cur, &low, &high, xfs_dax_query_fn,
			&query);
	xfs_btree_del_cursor(cur, error);

	if (agf_bp)
		xfs_trans_brelse(tp, agf_bp);
	if (rtg)
		xfs_rtgroup_unlock(rtg, XFS_RTGLOCK_RMAP);
out:
	xfs_trans_cancel(tp);
	xfs_group_rele(xg);
	return error;
}

int
xfs_dax_iget(
	struct xfs_mount	*mp,
	u64			ino,
	struct xfs_inode	**ipp)
{
	return xfs_iget(mp, NULL, ino, XFS_IGET_INCORE, 0, ipp);
}

static bool
xfs_dax_inode_is_on(
	struct inode		*inode,
	struct xfs_buftarg	*btp)
{
	return S_ISREG(inode->i_mode) &&
		xfs_inode_buftarg(XFS_I(inode)) == btp;
}

static void
xfs_dax_iput(
	struct inode		*inode)
{
	/* Not the first: the mount is pinned. */
	atomic_inc(&inode->i_sb->s_active);
	mf_dax_put_inode(inode);
}

/*
 * The inode in core after prev whose data is on btp, with a reference; prev's is given
 * back.  It may be another one where the caller ought to let others run.  Those that
 * come while this goes on may be left out, and those that go are: xfs_dax_is_evicting()
 * finds these.
 */
struct xfs_inode *
xfs_dax_next_inode(
	struct xfs_buftarg	*btp,
	struct xfs_inode	*prev)
{
	struct super_block	*sb = btp->bt_mount->m_super;
	struct inode		*old = prev ? VFS_I(prev) : NULL;
	struct inode		*inode;
	struct xfs_inode	*found = NULL;

	spin_lock(&sb->s_inode_list_lock);
	/* With our reference it is in the list. */
	inode = old ? list_next_entry(old, i_sb_list) :
		list_first_entry(&sb->s_inodes, struct inode, i_sb_list);
	list_for_each_entry_from(inode, &sb->s_inodes, i_sb_list) {
		spin_lock(&inode->i_lock);
		if (!(inode_state_read(inode) &
		      (I_FREEING | I_WILL_FREE | I_NEW)) &&
		    (need_resched() || xfs_dax_inode_is_on(inode, btp))) {
			__iget(inode);
			spin_unlock(&inode->i_lock);
			found = XFS_I(inode);
			break;
		}
		spin_unlock(&inode->i_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
	if (old)
		xfs_dax_iput(old);
	return found;
}

void
xfs_dax_irele(
	struct xfs_inode	*ip)
{
	xfs_dax_iput(VFS_I(ip));
}

bool
xfs_dax_is_rt(
	struct xfs_inode	*ip)
{
	return XFS_IS_REALTIME_INODE(ip);
}

/* NULL if the file has no DAX. */
struct address_space *
xfs_dax_mapping(
	struct xfs_inode	*ip)
{
	struct address_space	*mapping = VFS_I(ip)->i_mapping;

	return dax_mapping(mapping) ? mapping : NULL;
}

/* Is it a file with its data on btp? */
bool
xfs_dax_is_on(
	struct xfs_inode	*ip,
	struct xfs_buftarg	*btp)
{
	return xfs_dax_inode_is_on(VFS_I(ip), btp);
}

/* Does a process map the file, or does it have pages from a mapping? */
bool
xfs_dax_is_mapped(
	struct xfs_inode	*ip)
{
	struct address_space	*mapping = VFS_I(ip)->i_mapping;

	return mapping_mapped(mapping) || !mapping_empty(mapping);
}

/* Does a process map the file? */
bool
xfs_dax_has_users(
	struct xfs_inode	*ip)
{
	return mapping_mapped(VFS_I(ip)->i_mapping);
}

u64
xfs_dax_size(
	struct xfs_inode	*ip)
{
	return i_size_read(VFS_I(ip));
}

/*
 * The first extent that ends after block `from` of the file, of those in memory: a file
 * that was ever mapped has all of them there.  Works after a shutdown, too.  Returns 1
 * for an extent, 0 for none, -ENODATA if they are not in memory, and -EAGAIN if they are
 * locked: an exchange of two files' contents, for one, keeps them locked until it ends.
 */
int
xfs_dax_next_extent(
	struct xfs_inode	*ip,
	u64			from,
	struct xfs_dax_extent	*extent)
{
	struct xfs_ifork	*ifp = &ip->i_df;
	struct xfs_iext_cursor	icur;
	struct xfs_bmbt_irec	irec;
	bool			found = false;

	if (!xfs_ilock_nowait(ip, XFS_ILOCK_SHARED))
		return -EAGAIN;
	if (!xfs_ifork_has_extents(ifp))
		goto out;
	if (xfs_need_iread_extents(ifp)) {
		xfs_iunlock(ip, XFS_ILOCK_SHARED);
		return -ENODATA;
	}
	found = xfs_iext_lookup_extent(ip, ifp, from, &icur, &irec);
	/* What is only reserved has no blocks. */
	while (found && isnullstartblock(irec.br_startblock))
		found = xfs_iext_next_extent(ifp, &icur, &irec);
	if (found) {
		extent->offset = irec.br_startoff;
		extent->at = irec.br_startblock;
		extent->count = irec.br_blockcount;
	}
out:
	xfs_iunlock(ip, XFS_ILOCK_SHARED);
	return found;
}

/* Between lock and unlock there is no page fault in the file, and no truncation. */
void
xfs_dax_lock(
	struct xfs_inode	*ip)
{
	xfs_ilock(ip, XFS_MMAPLOCK_EXCL);
}

void
xfs_dax_unlock(
	struct xfs_inode	*ip)
{
	xfs_iunlock(ip, XFS_MMAPLOCK_EXCL);
}

/*
 * Leaves no page of the file mapped.  Copies that processes have of private mappings
 * are theirs, in ordinary memory.
 */
void
xfs_dax_unmap(
	struct xfs_inode	*ip)
{
	unmap_mapping_range(VFS_I(ip)->i_mapping, 0, 0, 0);
}

/*
 * Deletes the entries of memory that is not in use, or all by force.  Locked, and
 * nothing is mapped.  Returns whether none is in use, or else a page that is: by
 * direct I/O, or a pipe.
 */
bool
xfs_dax_forget(
	struct xfs_inode	*ip,
	unsigned long		*pfn,
	bool			force)
{
	struct address_space	*mapping = VFS_I(ip)->i_mapping;

	if (!dax_mapping(mapping)) {
		invalidate_inode_pages2(mapping);
		return true;
	}
	/* Dirty cache lines have to be written back to the memory. */
	if (mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		filemap_write_and_wait(mapping);
	return dax_forget_idle(mapping, pfn, force);
}

/* Logs for which page the removal of btp waits. */
void
xfs_dax_say_in_use(
	struct xfs_buftarg	*btp,
	struct xfs_inode	*ip,
	unsigned long		pfn)
{
	struct dentry		*dentry = d_find_any_alias(VFS_I(ip));

	if (dentry)
		xfs_warn(ip->i_mount,
			"removal of %pg waits: page %#lx of %pd (%llu) in use",
			btp->bt_bdev, pfn, dentry, VFS_I(ip)->i_ino);
	else
		xfs_warn(ip->i_mount,
			"removal of %pg waits: page %#lx of inode %llu in use",
			btp->bt_bdev, pfn, VFS_I(ip)->i_ino);
	dput(dentry);
}

/* The frame that has the byte of the dax device, good or bad, if that is known. */
bool
xfs_dax_frame(
	struct xfs_buftarg	*btp,
	u64			byte,
	unsigned long		*pfn)
{
	long			pages;
	int			id;

	id = dax_dev_read_lock(btp->bt_daxdev);
	pages = dax_direct_access(btp->bt_daxdev, PHYS_PFN(byte), 1,
			DAX_RECOVERY_WRITE, NULL, pfn);
	dax_dev_read_unlock(btp->bt_daxdev, id);
	return pages > 0;
}

void
xfs_dax_report_media(
	struct xfs_mount	*mp,
	enum xfs_dax_role	role,
	u64			sector,
	u64			sectors)
{
	static const enum xfs_device devices[] = {
		[XFS_DAX_DATA]	= XFS_DEV_DATA,
		[XFS_DAX_RT]	= XFS_DEV_RT,
		[XFS_DAX_LOG]	= XFS_DEV_LOG,
	};

	xfs_healthmon_report_media(mp, devices[role], sector, sectors);
}

void
xfs_dax_report_lost(
	struct xfs_inode	*ip,
	u64			pos,
	u64			len)
{
	fserror_report_data_lost(VFS_I(ip), pos, len, GFP_NOFS);
}

void
xfs_dax_say(
	struct xfs_mount	*mp,
	const char		*words)
{
	xfs_warn(mp, "%s", words);
}

bool
xfs_dax_is_shutdown(
	struct xfs_mount	*mp)
{
	return xfs_is_shutdown(mp);
}

void
xfs_dax_shutdown(
	struct xfs_mount	*mp,
	bool			corrupt)
{
	xfs_force_shutdown(mp, corrupt ? SHUTDOWN_CORRUPT_ONDISK :
			SHUTDOWN_FORCE_UMOUNT);
}
