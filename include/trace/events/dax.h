/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens to a dax_device.  All events name it by its minor number, which is
 * also the name of its file in /sys/kernel/debug/dax.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dax

#if !defined(_RDAX_TRACE_DAX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RDAX_TRACE_DAX_H

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
