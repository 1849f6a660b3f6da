/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between memory_failure(), fs/dax.c and their fs-dax part in Rust.
 */
#ifndef _RDAX_MEMORY_FAILURE_DAX_H
#define _RDAX_MEMORY_FAILURE_DAX_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct address_space;
struct folio;
struct inode;
struct page;
struct super_block;
struct task_struct;
struct vm_area_struct;

/*
 * mf_dax_kill_pfns - find and kill the users of fs-dax memory by its pages
 * @pfn: first page
 * @count: how many pages, all of one MEMORY_DEVICE_FS_DAX pagemap that stays
 * @mf_flags: enum mf_flags
 *
 * For memory without a holder that finds its users.  Marks the pages, unmaps them from
 * every process, and signals early-kill tasks.  -EBUSY when no page is part of a file
 * that can be found, -EOPNOTSUPP when hwpoison_filter() drops the failure of a page.  An
 * error of one page is returned after the others were handled.  Sleeps.
 *
 * No page fault may still be about to use one of the pages that it found before the
 * failure was recorded: dax_holder_notify_failure() waits for those before it returns
 * -EOPNOTSUPP.
 */
int mf_dax_kill_pfns(unsigned long pfn, unsigned long count, int mf_flags);

/*
 * mf_dax_revoke_pfns - revoke fs-dax memory from files and processes
 * @pfn: first page
 * @count: how many pages, all of one pagemap that stays
 *
 * The device has to be dead, so that no task gets one of the pages again.  Unmaps
 * the pages, notifies the processes that had them mapped, and removes the files' entries
 * of them.  Pages that are in use otherwise, for I/O or in a pipe, are left as they
 * are; returns whether there are none of these.  Sleeps.
 */
bool mf_dax_revoke_pfns(unsigned long pfn, unsigned long count);

/*
 * mf_dax_revoke_pfns_wait - mf_dax_revoke_pfns() until no page is in use
 * @name: the device, for the log, which says which page is waited for
 * @may_stay: whether the page structs can stay
 *
 * Returns 0 when no file, process or I/O uses any of the pages, or will.  With
 * @may_stay the wait ends with -EINTR when the caller is killed, when the machine shuts
 * down, and in a kernel thread after 20 s: then files have no entries of them, but the
 * page structs must stay.
 */
int mf_dax_revoke_pfns_wait(unsigned long pfn, unsigned long count,
			    const char *name, bool may_stay);

/* Tasks that lost memory and are to be signalled.  None if all is 0 except @mf_flags. */
struct mf_dax_victims {
	void *hits;
	unsigned long count;
	unsigned long room;
	int mf_flags;
	/* Is any process to be signalled early: 1, or -1 if not; 0 if not checked yet. */
	int takers;
};

/*
 * mf_dax_collect_procs - mf_dax_kill_procs() for one of many files
 *
 * As that, but adds the tasks to be signalled to @victims, for mf_dax_tell_procs():
 * this walks the processes once for all files.  With tens of thousands of tasks, or
 * without memory, they are signalled now.  Sleeps.
 */
int mf_dax_collect_procs(struct address_space *mapping, unsigned long index,
			 unsigned long count, struct mf_dax_victims *victims);

/*
 * mf_dax_collect_pfns - mf_dax_kill_pfns() for one of many ranges
 *
 * As that, but adds the tasks to be signalled to @victims, as mf_dax_collect_procs()
 * does.  Sleeps.
 */
int mf_dax_collect_pfns(unsigned long pfn, unsigned long count,
			struct mf_dax_victims *victims);

/*
 * mf_dax_collect_frames - mf_dax_collect_procs() for frames that the file may have lost
 * @pfn: the frame that page @index has to have, and so on
 * @certain: whether the file had these frames after they failed
 *
 * Where the file has other memory by now, nothing is marked and no user of it is
 * signalled.  So the caller need not keep the file from changing.  Where the file has no
 * entry, users that map the page are signalled if @certain.
 */
int mf_dax_collect_frames(struct address_space *mapping, unsigned long index,
			unsigned long count, unsigned long pfn, bool certain,
			struct mf_dax_victims *victims);

/* Has to be called last: signals the tasks, and frees the list.  Sleeps. */
void mf_dax_tell_procs(struct mf_dax_victims *victims);

/* Called for the entry of @index, with the first frame of its memory, and its order. */
typedef bool dax_walk_func_t(void *data, unsigned long index, unsigned long pfn,
			     unsigned int order);

/*
 * dax_walk_memory - call @f for each entry with memory from @first to @last, inclusive
 *
 * Each call is under the i_pages lock and while the entry is not locked: page faults
 * that had locked it have ended.  Returns where @f returned false, or @last + 1.
 * The caller keeps the inode.  Sleeps, but not in @f.
 */
unsigned long dax_walk_memory(struct address_space *mapping, unsigned long first,
			      unsigned long last, dax_walk_func_t *f, void *data);

/* As dax_unlock_folio(), but deletes the entry.  The folio must not be in use. */
void dax_unlock_folio_delete(struct address_space *mapping, unsigned long index,
			     unsigned long cookie);

/*
 * mf_next_process - a thread with memory of the first process that has any
 * @nr: process numbers to begin with
 *
 * @nr gets the number after that of the process.  NULL if there is none among the
 * next 256 numbers in use, with @nr after them, or if there is none at all, with -1.
 * In an RCU read section.
 */
struct task_struct *mf_next_process(int *nr);

/*
 * mf_anyone_early - is there a process that memory_failure() signals early?
 * @force_early: as that of task_early_kill()
 *
 * 1 if there is one, 0 if there is none, -1 if there are too many threads to check here.
 */
int mf_anyone_early(int force_early);

/*
 * mf_dax_get_inode - a reference to an inode and to its mounted file system
 * @inode: an inode that a lock of the caller's keeps
 *
 * To unmount means to free what an inode needs, also one with references, so the active
 * reference to the super block is a part of it.  NULL if one of the two goes away: then
 * no process maps the file.
 */
struct inode *mf_dax_get_inode(struct inode *inode);

/* That of the file of @vma, or NULL if it has no DAX.  Under the lock of the mappings. */
struct inode *mf_dax_get_inode_of(struct vm_area_struct *vma);

/*
 * mf_dax_put_inode - give back what mf_dax_get_inode() returned
 *
 * Does not sleep for long, and may be called while other failures wait.  Evicting an
 * inode waits until none of its pages is in use, for which user space may take as long as
 * it likes, and unmounting evicts inodes.  So the last references are a worker's where
 * the mapping has entries.  i_nlink alone would not do: a file may be unlinked between
 * the look and the put, without any other task's having to put the inode after us.  An
 * entry that comes after the look needs a task that opens the file, faults, unlinks and
 * closes it in between.  An inode that is evicted, though without entries, waits for
 * others to be inactivated, so the worker puts these, too.
 */
void mf_dax_put_inode(struct inode *inode);

/* Gives back an active reference, on the same terms. */
void mf_dax_put_super(struct super_block *sb);

/*
 * struct mf_dax_call - what a worker calls for a file system
 * @sb: its super block, with an active reference, which becomes the worker's
 * @inode: an inode with a reference, which becomes the worker's, or NULL
 * @fn: may be of the file system's module, and may free the structure
 */
struct mf_dax_call {
	struct work_struct work;
	struct super_block *sb;
	struct inode *inode;
	void (*fn)(struct mf_dax_call *call);
};

/*
 * mf_dax_call_later - have a worker call @call->fn, and then put the references
 *
 * With the last reference the module may go that the function is part of.  So it is not
 * the function that puts them, but the worker, which is built in.
 */
void mf_dax_call_later(struct mf_dax_call *call);

/*
 * dax_forget_idle - delete the entries of memory that is not in use
 * @mapping: of a file of which no process has a page mapped, nor gets one
 * @pfn: output a page that is in use, if the answer is false
 * @force: also those of memory that is in use
 *
 * Returns whether no memory is in use.  The caller keeps the inode.  Sleeps.
 */
bool dax_forget_idle(struct address_space *mapping, unsigned long *pfn,
		bool force);

/* Was the last entry of memory in use, or its inode, ever deleted? */
bool dax_left_in_use(void);

/* Of mm/memory-failure.c. */
int hwpoison_filter(struct page *p);
struct task_struct *task_early_kill(struct task_struct *tsk, int force_early);

#endif
