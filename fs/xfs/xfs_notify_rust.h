/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface between XFS and its notify_failure in Rust, for which XFS's types are
 * opaque.  mp is a mount that is born and that the caller has pinned, btp one of its
 * devices.
 */
#ifndef _RDAX_XFS_NOTIFY_RUST_H
#define _RDAX_XFS_NOTIFY_RUST_H

#include <linux/types.h>

struct address_space;
struct dax_device;
struct xfs_buftarg;
struct xfs_inode;
struct xfs_mount;

/* The purpose of a part of a device. */
enum xfs_dax_role {
	XFS_DAX_DATA,
	XFS_DAX_RT,
	XFS_DAX_LOG,
};

/* A part of a device with one purpose, in blocks of the file system. */
struct xfs_dax_area {
	enum xfs_dax_role	role;
	/* Is there a reverse map? */
	bool			rmap;
	/* The first block, from the start of the device that was given to XFS. */
	u64			first;
	u64			blocks;
	/* From the start of a group to the next, 0 if there are no groups. */
	u64			stride;
	/* Where a block's number has the number of its group. */
	unsigned int		number_shift;
};

struct xfs_dax_layout {
	/* Where in the dax_device the device begins, in bytes. */
	u64			origin;
	unsigned int		block_shift;
	unsigned int		areas;
	struct xfs_dax_area	area[2];
};

/* An extent of a group, as the reverse map has it. */
struct xfs_dax_rmap {
	u32			start;
	u32			count;
	u64			owner;
	u64			offset;
	bool			attr;
	bool			tree;
};

/* An extent of a file. */
struct xfs_dax_extent {
	u64			offset;
	u64			at;
	u64			count;
};

/* Bytes of a group that failed. */
struct xfs_dax_failed {
	enum xfs_dax_role	role;
	u32			group;
	u64			start;
	u64			len;
};

/* A result other than 0 ends the query. */
typedef int (*xfs_dax_rmap_fn)(const struct xfs_dax_rmap *extent, void *priv);

/* What Rust's table of operations has; the holder is btp. */
int xfs_dax_notify_failure(struct dax_device *dax_dev, u64 offset, u64 len,
		int mf_flags);
void xfs_dax_report_again(struct xfs_buftarg *btp,
		const struct xfs_dax_failed *failed);
bool xfs_dax_pin(void *holder);
void xfs_dax_unpin(void *holder);

struct xfs_mount *xfs_dax_mount(struct xfs_buftarg *btp);
void xfs_dax_layout(struct xfs_buftarg *btp, struct xfs_dax_layout *layout);
int xfs_dax_query(struct xfs_mount *mp, enum xfs_dax_role role, u32 group,
		u32 first, u32 last, xfs_dax_rmap_fn fn, void *priv);

int xfs_dax_iget(struct xfs_mount *mp, u64 ino, struct xfs_inode **ipp);
struct xfs_inode *xfs_dax_next_inode(struct xfs_buftarg *btp,
		struct xfs_inode *prev);
bool xfs_dax_is_evicting(struct xfs_buftarg *btp);
void xfs_dax_irele(struct xfs_inode *ip);
bool xfs_dax_is_rt(struct xfs_inode *ip);
struct address_space *xfs_dax_mapping(struct xfs_inode *ip);
bool xfs_dax_is_on(struct xfs_inode *ip, struct xfs_buftarg *btp);
bool xfs_dax_is_mapped(struct xfs_inode *ip);
bool xfs_dax_has_users(struct xfs_inode *ip);
u64 xfs_dax_size(struct xfs_inode *ip);
int xfs_dax_next_extent(struct xfs_inode *ip, u64 from,
		struct xfs_dax_extent *extent);
void xfs_dax_lock(struct xfs_inode *ip);
void xfs_dax_unlock(struct xfs_inode *ip);
void xfs_dax_unmap(struct xfs_inode *ip);
bool xfs_dax_forget(struct xfs_inode *ip, unsigned long *pfn, bool force);
void xfs_dax_say_in_use(struct xfs_buftarg *btp, struct xfs_inode *ip,
		unsigned long pfn);
bool xfs_dax_frame(struct xfs_buftarg *btp, u64 byte, unsigned long *pfn);

void xfs_dax_report_media(struct xfs_mount *mp, enum xfs_dax_role role,
		u64 sector, u64 sectors);
void xfs_dax_report_lost(struct xfs_inode *ip, u64 pos, u64 len);
void xfs_dax_report_later(struct xfs_buftarg *btp, struct xfs_inode *ip,
		const struct xfs_dax_failed *failed);
void xfs_dax_say(struct xfs_mount *mp, const char *words);

bool xfs_dax_is_shutdown(struct xfs_mount *mp);
void xfs_dax_shutdown(struct xfs_mount *mp, bool corrupt);
bool xfs_dax_freeze(struct xfs_mount *mp, unsigned int seconds);
void xfs_dax_thaw(struct xfs_mount *mp, bool frozen);
unsigned int xfs_dax_nofs_save(void);
void xfs_dax_nofs_restore(unsigned int flags);

#endif
