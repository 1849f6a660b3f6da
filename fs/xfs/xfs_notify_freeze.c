// SPDX-License-Identifier: GPL-2.0
/*
 * What workers do for XFS's notify_failure in Rust: one freezes a file system whose
 * device goes away, and one waits for extents that are locked.
 */
#include "xfs_platform.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_inode.h"

#include <linux/completion.h>
#include <linux/fs.h>

#include "../../mm/memory_failure_dax.h"
#include "xfs_notify_rust.h"

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
 * freeze_super() waits for all writers, in a sleep that nothing ends, and a writer may
 * wait for user space.  So a worker calls it, and the task stops waiting for the worker
 * when it takes too long.
 */
struct xfs_dax_freezer {
	struct mf_dax_call	call;
	struct completion	done;
	refcount_t		refs;
	/* Set by the worker when it is done, and by the waiter on timeout: the first wins. */
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
	struct mf_dax_call	*call)
{
	struct xfs_dax_freezer	*freezer =
		container_of(call, struct xfs_dax_freezer, call);
	struct super_block	*sb = call->sb;

	freezer->error = freeze_super(sb, FREEZE_HOLDER_KERNEL, NULL);
	if (atomic_xchg(&freezer->decided, 1)) {
		if (!freezer->error)
			thaw_super(sb, FREEZE_HOLDER_KERNEL, NULL);
	} else {
		complete_all(&freezer->done);
	}
	xfs_dax_freezer_put(freezer);
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
	init_completion(&freezer->done);
	refcount_set(&freezer->refs, 2);
	freezer->call.sb = sb;
	freezer->call.fn = xfs_dax_freeze_work;
	/* Not the first: the mount is pinned. */
	atomic_inc(&sb->s_active);
	mf_dax_call_later(&freezer->call);

	if (!wait_for_completion_timeout(&freezer->done, seconds * HZ) &&
	    !atomic_xchg(&freezer->decided, 1)) {
		xfs_warn(mp, "cannot be frozen, a task writes on and on");
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
	/* With its device gone, user space cannot thaw what it froze. */
	thaw_super(sb, FREEZE_HOLDER_USERSPACE, NULL);
}

struct xfs_dax_again {
	struct mf_dax_call	call;
	struct xfs_buftarg	*btp;
	struct xfs_inode	*ip;
	struct xfs_dax_failed	failed;
};

static void
xfs_dax_again_work(
	struct mf_dax_call	*call)
{
	struct xfs_dax_again	*again =
		container_of(call, struct xfs_dax_again, call);

	/* The task that has it locked changes the reverse map, too, before it unlocks. */
	xfs_ilock(again->ip, XFS_ILOCK_SHARED);
	xfs_iunlock(again->ip, XFS_ILOCK_SHARED);
	xfs_dax_report_again(again->btp, &again->failed);
	kfree(again);
}

/*
 * A worker calls xfs_dax_report_again() when the extents of ip are not locked any
 * more.  The caller's reference to ip becomes the worker's.
 */
void
xfs_dax_report_later(
	struct xfs_buftarg	*btp,
	struct xfs_inode	*ip,
	const struct xfs_dax_failed *failed)
{
	struct xfs_dax_again	*again;

	again = kmalloc_obj(*again, GFP_NOFS | __GFP_NOFAIL);
	again->call.sb = btp->bt_mount->m_super;
	again->call.inode = VFS_I(ip);
	again->call.fn = xfs_dax_again_work;
	again->btp = btp;
	again->ip = ip;
	again->failed = *failed;
	/* Not the first: the mount is pinned. */
	atomic_inc(&btp->bt_mount->m_super->s_active);
	mf_dax_call_later(&again->call);
}
