// SPDX-License-Identifier: GPL-2.0
/*
 * Inodes that are being evicted.  evict() takes an inode out of the list of its super
 * block first, and deletes the entries of its mapping then.  XFS's own trees have it
 * until it is reclaimed.
 */
#include "xfs_platform.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_ag.h"
#include "xfs_inode.h"

#include <linux/fs.h>
#include <linux/pagemap.h>

#include "xfs_notify_rust.h"

/* How many inodes are looked at in an RCU read section. */
#define XFS_DAX_INODES	32

/* In an RCU read section, which keeps the memory of ip and no more. */
static bool
xfs_dax_inode_is_leaving(
	struct xfs_inode	*ip,
	struct xfs_buftarg	*btp)
{
	struct inode		*inode = VFS_I(ip);
	bool			leaving;

	spin_lock(&ip->i_flags_lock);
	/* One that was freed has no number. */
	leaving = I_INO(ip) && S_ISREG(inode->i_mode) &&
		(inode_state_read_once(inode) & (I_FREEING | I_WILL_FREE)) &&
		!mapping_empty(inode->i_mapping) &&
		xfs_inode_buftarg(ip) == btp;
	spin_unlock(&ip->i_flags_lock);
	return leaving;
}

static bool
xfs_dax_group_is_evicting(
	struct xfs_perag	*pag,
	struct xfs_buftarg	*btp)
{
	struct xfs_mount	*mp = pag_mount(pag);
	struct xfs_inode	*batch[XFS_DAX_INODES];
	u32			next = 0;
	unsigned int		found, i;
	bool			leaving = false, last = false;

	do {
		rcu_read_lock();
		found = radix_tree_gang_lookup(&pag->pag_ici_root,
				(void **)batch, next, XFS_DAX_INODES);
		for (i = 0; i < found && !leaving; i++) {
			struct xfs_inode	*ip = batch[i];

			leaving = xfs_dax_inode_is_leaving(ip, btp);
			/* Its memory may be an inode of another group by now, or none. */
			if (!I_INO(ip) || XFS_INODE_TO_AGNO(ip) != pag_agno(pag))
				continue;
			next = XFS_INO_TO_AGINO(mp, I_INO(ip) + 1);
			/* Numbers of the last block may be the last that there are. */
			last = next < XFS_INODE_TO_AGINO(ip);
		}
		rcu_read_unlock();
		cond_resched();
	} while (found && !leaving && !last);
	return leaving;
}

/*
 * Is a file with data on btp being evicted, and has entries yet?  That of an inode which
 * xfs_dax_next_inode() has left out before this, because it was being evicted then, is
 * seen here: its state was set before.
 */
bool
xfs_dax_is_evicting(
	struct xfs_buftarg	*btp)
{
	struct xfs_perag	*pag = NULL;

	while ((pag = xfs_perag_next(btp->bt_mount, pag))) {
		if (xfs_dax_group_is_evicting(pag, btp)) {
			xfs_perag_rele(pag);
			return true;
		}
	}
	return false;
}
