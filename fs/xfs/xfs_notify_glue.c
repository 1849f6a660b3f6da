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

#include <linux/completion.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/fserror.h>
#include <linux/mm.h>
#include <linux/workqueue.h>

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

	deactivate_super(btp->bt_mount->m_super);
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

/*
 * The inode in core after prev whose data is on btp, with a reference; prev's is given
 * back.  It may be another one where the caller ought to let others run.  Those that
 * come while this goes on may be left out, and those that go are: missed is set if
 * one of these still has pages.
 */
struct xfs_inode *
xfs_dax_next_inode(
	struct xfs_buftarg	*btp,
	struct xfs_inode	*prev,
	bool			*missed)
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
		if ((inode_state_read(inode) & (I_FREEING | I_WILL_FREE)) &&
		    !mapping_empty(inode->i_mapping) &&
		    xfs_dax_inode_is_on(inode, btp))
			*missed = true;
		spin_unlock(&inode->i_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(old);
	return found;
}

void
xfs_dax_irele(
	struct xfs_inode	*ip)
{
	xfs_irele(ip);
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

/* Does somebody map the file, or know its pages from having done so? */
bool
xfs_dax_is_mapped(
	struct xfs_inode	*ip)
{
	struct address_space	*mapping = VFS_I(ip)->i_mapping;

	return mapping_mapped(mapping) || !mapping_empty(mapping);
}

/* Does somebody map the file? */
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
 * that was ever mapped has all of them there.  Works after a shutdown, too.
 */
bool
xfs_dax_next_extent(
	struct xfs_inode	*ip,
	u64			from,
	struct xfs_dax_extent	*extent)
{
	struct xfs_ifork	*ifp = &ip->i_df;
	struct xfs_iext_cursor	icur;
	struct xfs_bmbt_irec	irec;
	bool			found = false;

	xfs_ilock(ip, XFS_ILOCK_SHARED);
	if (!xfs_ifork_has_extents(ifp) || xfs_need_iread_extents(ifp))
		goto out;
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

/* Between lock and unlock there is no page fault in the file, and it is not cut. */
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

/* Has anybody a page of the file otherwise: for direct I/O, or to end its mapping? */
bool
xfs_dax_is_busy(
	struct xfs_inode	*ip)
{
	return dax_layout_busy_page(VFS_I(ip)->i_mapping);
}

/* Leaves no entry that knows of a page.  Locked, and nothing is mapped. */
void
xfs_dax_forget(
	struct xfs_inode	*ip)
{
	/* It is with a spinlock held that all are dropped at once. */
	const unsigned long	at_once = 1024;
	struct address_space	*mapping = VFS_I(ip)->i_mapping;

	/* Entries that are dirty would stay; of DAX they are lines of a cache. */
	if (dax_mapping(mapping) &&
	    mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		filemap_write_and_wait(mapping);
	if (dax_mapping(mapping) && mapping->nrpages <= at_once)
		dax_delete_mapping_range(mapping, 0, LLONG_MAX);
	else
		invalidate_inode_pages2(mapping);
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

unsigned int
xfs_dax_nofs_save(void)
{
	return memalloc_nofs_save();
}

void
xfs_dax_nofs_restore(
	unsigned int		flags)
{
	memalloc_nofs_restore(flags);
}

/*
 * Freezing waits for everyone who writes, in a sleep that nothing ends, and a writer may
 * wait for user space.  So a worker does it, and is left alone when it takes too long.
 */
struct xfs_dax_freezer {
	struct work_struct	work;
	struct super_block	*sb;
	struct completion	done;
	refcount_t		refs;
	/* Who comes second: the worker that is done, or the waiter that gives up. */
	atomic_t		decided;
	int			error;
};

static void
xfs_dax_freezer_put(
	struct xfs_dax_freezer	*freezer)
{
	if (refcount_dec_and_test(&freezer->refs))
		kfree(freezer);
}

static void
xfs_dax_freeze_work(
	struct work_struct	*work)
{
	struct xfs_dax_freezer	*freezer =
		container_of(work, struct xfs_dax_freezer, work);
	struct super_block	*sb = freezer->sb;

	freezer->error = freeze_super(sb, FREEZE_HOLDER_KERNEL, NULL);
	if (atomic_xchg(&freezer->decided, 1)) {
		if (!freezer->error)
			thaw_super(sb, FREEZE_HOLDER_KERNEL, NULL);
	} else {
		complete_all(&freezer->done);
	}
	xfs_dax_freezer_put(freezer);
	deactivate_super(sb);
}

/* Whether the file system was frozen within that time.  Sleeps. */
bool
xfs_dax_freeze(
	struct xfs_mount	*mp,
	unsigned int		seconds)
{
	struct super_block	*sb = mp->m_super;
	struct xfs_dax_freezer	*freezer;
	bool			frozen = false;

	freezer = kzalloc_obj(*freezer, GFP_KERNEL | __GFP_NOFAIL);
	INIT_WORK(&freezer->work, xfs_dax_freeze_work);
	init_completion(&freezer->done);
	refcount_set(&freezer->refs, 2);
	freezer->sb = sb;
	/* Not the first: the mount is pinned. */
	atomic_inc(&sb->s_active);
	queue_work(system_dfl_long_wq, &freezer->work);

	if (!wait_for_completion_timeout(&freezer->done, seconds * HZ) &&
	    !atomic_xchg(&freezer->decided, 1)) {
		xfs_warn(mp, "cannot be frozen, somebody writes on and on");
	} else {
		wait_for_completion(&freezer->done);
		frozen = freezer->error == 0;
		if (!frozen)
			xfs_warn(mp, "cannot be frozen, err=%d", freezer->error);
	}
	xfs_dax_freezer_put(freezer);
	return frozen;
}

void
xfs_dax_thaw(
	struct xfs_mount	*mp,
	bool			frozen)
{
	struct super_block	*sb = mp->m_super;
	int			error;

	if (frozen) {
		error = thaw_super(sb, FREEZE_HOLDER_KERNEL, NULL);
		if (error)
			xfs_emerg(mp, "still frozen after notify failure, err=%d",
				error);
	}
	/* Who froze it from user space could not, with a device that is gone. */
	thaw_super(sb, FREEZE_HOLDER_USERSPACE, NULL);
}
