/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens to a dax_device, and to those that use its memory when it fails.
 * "dev" is its minor number, which is also the name of its file in
 * /sys/kernel/debug/dax.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dax

#if !defined(_RDAX_TRACE_DAX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RDAX_TRACE_DAX_H

#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(dax_device,
	TP_PROTO(u32 minor),
	TP_ARGS(minor),
	TP_STRUCT__entry(
		__field(u32, minor)
	),
	TP_fast_assign(
		__entry->minor = minor;
	),
	TP_printk("dev %u", __entry->minor)
);

DEFINE_EVENT(dax_device, dax_alloc, TP_PROTO(u32 minor), TP_ARGS(minor));

/* A removal begins. */
DEFINE_EVENT(dax_device, dax_kill, TP_PROTO(u32 minor), TP_ARGS(minor));

/* A holder asks for the bytes from @start up to @end, and gets them if @result is 0. */
TRACE_EVENT(dax_register,
	TP_PROTO(u32 minor, u64 start, u64 end, void *holder, int result),
	TP_ARGS(minor, start, end, holder, result),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(u64, start)
		__field(u64, end)
		__field(void *, holder)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->minor = minor;
		__entry->start = start;
		__entry->end = end;
		__entry->holder = holder;
		__entry->result = result;
	),
	TP_printk("dev %u bytes %#llx-%#llx holder %p result %d",
		  __entry->minor, __entry->start, __entry->end,
		  __entry->holder, __entry->result)
);

/* A holder was told of a failure of its bytes; @flags are MF_*, it took @nanos. */
TRACE_EVENT(dax_notify,
	TP_PROTO(u32 minor, u64 start, u64 len, int flags, void *holder,
		 int result, s64 nanos),
	TP_ARGS(minor, start, len, flags, holder, result, nanos),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(u64, start)
		__field(u64, len)
		__field(int, flags)
		__field(void *, holder)
		__field(int, result)
		__field(s64, nanos)
	),
	TP_fast_assign(
		__entry->minor = minor;
		__entry->start = start;
		__entry->len = len;
		__entry->flags = flags;
		__entry->holder = holder;
		__entry->result = result;
		__entry->nanos = nanos;
	),
	TP_printk("dev %u offset %#llx length %#llx flags %#x holder %p result %d took %lld ns",
		  __entry->minor, __entry->start, __entry->len,
		  __entry->flags, __entry->holder, __entry->result,
		  __entry->nanos)
);

/*
 * Some of the bytes that failed have no holder that would deal with them: their
 * users are looked for by the pages.
 */
TRACE_EVENT(dax_unheld,
	TP_PROTO(u32 minor, u64 start, u64 len, int flags),
	TP_ARGS(minor, start, len, flags),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(u64, start)
		__field(u64, len)
		__field(int, flags)
	),
	TP_fast_assign(
		__entry->minor = minor;
		__entry->start = start;
		__entry->len = len;
		__entry->flags = flags;
	),
	TP_printk("dev %u offset %#llx length %#llx flags %#x",
		  __entry->minor, __entry->start, __entry->len,
		  __entry->flags)
);

/*
 * The memory of @count pages of a file from page @index on failed, or goes away
 * (@flags are MF_*), and they are taken from those that map them.
 */
TRACE_EVENT(dax_lost,
	TP_PROTO(struct address_space *mapping, unsigned long index,
		 unsigned long count, int flags),
	TP_ARGS(mapping, index, count, flags),
	TP_STRUCT__entry(
		__field(dev_t, s_dev)
		__field(u64, ino)
		__field(unsigned long, index)
		__field(unsigned long, count)
		__field(int, flags)
	),
	TP_fast_assign(
		__entry->s_dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->index = index;
		__entry->count = count;
		__entry->flags = flags;
	),
	TP_printk("fs %u:%u inode %#llx page %#lx count %#lx flags %#x",
		  MAJOR(__entry->s_dev), MINOR(__entry->s_dev), __entry->ino,
		  __entry->index, __entry->count, __entry->flags)
);

/* A task is sent SIGBUS for 1 << @lsb bytes at @address; @result is 0 or an error. */
TRACE_EVENT(dax_signal,
	TP_PROTO(struct task_struct *task, unsigned long address, int lsb,
		 int code, int result),
	TP_ARGS(task, address, lsb, code, result),
	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(pid_t, pid)
		__field(unsigned long, address)
		__field(int, lsb)
		__field(int, code)
		__field(int, result)
	),
	TP_fast_assign(
		memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
		__entry->pid = task->pid;
		__entry->address = address;
		__entry->lsb = lsb;
		__entry->code = code;
		__entry->result = result;
	),
	TP_printk("%s:%d address %#lx lsb %d code %d result %d",
		  __entry->comm, __entry->pid, __entry->address,
		  __entry->lsb, __entry->code, __entry->result)
);

/* A holder gives back what it holds. */
TRACE_EVENT(dax_unregister,
	TP_PROTO(u32 minor, void *holder),
	TP_ARGS(minor, holder),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(void *, holder)
	),
	TP_fast_assign(
		__entry->minor = minor;
		__entry->holder = holder;
	),
	TP_printk("dev %u holder %p", __entry->minor, __entry->holder)
);

#endif

/* This part must be outside protection */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH ../../rdax/include/trace/events
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE dax
#include <trace/define_trace.h>
