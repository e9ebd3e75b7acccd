/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The codecs' libraries: contexts that cannot be made, settings that are refused, blocks
 * that cannot be compressed or decompressed; and the store's limit.
 */
#define ZSTD_STATIC_LINKING_ONLY
#define LZ4_HC_STATIC_LINKING_ONLY
#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>
#if FAULTS_LZO
#include <lzo/lzo1x.h>
#endif

#include "inject.h"
#include "zram/budget.h"

/* --- what is made, and unmade --- */

/* MAKER(type, name, (parameters), (arguments)) */
#define MAKER(type, name, parameters, arguments) \
	type *__real_##name parameters;          \
	type *__wrap_##name parameters;          \
	type *__wrap_##name parameters           \
	{                                        \
		type *made;                      \
                                                 \
		if (refused(CONTEXT))            \
			return NULL;             \
		made = __real_##name arguments;  \
		if (made)                        \
			note_made(CODEC, made);  \
		return made;                     \
	}

#define UNMAKER(result, name, type)               \
	result __real_##name(type *made);         \
	result __wrap_##name(type *made);         \
	result __wrap_##name(type *made)          \
	{                                         \
		if (made)                         \
			note_unmade(CODEC, made); \
		return __real_##name(made);       \
	}

MAKER(LZ4_stream_t, LZ4_createStream, (void), ())
MAKER(LZ4_streamHC_t, LZ4_createStreamHC, (void), ())
MAKER(ZSTD_CCtx, ZSTD_createCCtx, (void), ())
MAKER(ZSTD_DCtx, ZSTD_createDCtx, (void), ())
MAKER(ZSTD_CDict, ZSTD_createCDict_byReference, (const void *bytes, size_t size, int level),
      (bytes, size, level))
MAKER(ZSTD_DDict, ZSTD_createDDict_byReference, (const void *bytes, size_t size), (bytes, size))
MAKER(ZSTD_DDict, ZSTD_createDDict_advanced,
      (const void *bytes, size_t size, ZSTD_dictLoadMethod_e load, ZSTD_dictContentType_e type,
       ZSTD_customMem memory),
      (bytes, size, load, type, memory))
UNMAKER(int, LZ4_freeStream, LZ4_stream_t)
UNMAKER(int, LZ4_freeStreamHC, LZ4_streamHC_t)
UNMAKER(size_t, ZSTD_freeCCtx, ZSTD_CCtx)
UNMAKER(size_t, ZSTD_freeDCtx, ZSTD_DCtx)
UNMAKER(size_t, ZSTD_freeCDict, ZSTD_CDict)
UNMAKER(size_t, ZSTD_freeDDict, ZSTD_DDict)

/* --- what is called: a refusal is what the library says when it fails --- */

#define CALL(source, result, refusal, name, parameters, arguments)            \
	result __real_##name parameters;                                      \
	result __wrap_##name parameters;                                      \
	result __wrap_##name parameters                                       \
	{                                                                     \
		return refused(source) ? (refusal) : __real_##name arguments; \
	}

/* ZSTD_error_GENERIC and ZSTD_error_memory_allocation, as results. */
#define ZSTD_FAILED    ((size_t)-1)
#define ZSTD_NO_MEMORY ((size_t)-64)

CALL(SETTING, size_t, ZSTD_NO_MEMORY, ZSTD_CCtx_setParameter,
     (ZSTD_CCtx * context, ZSTD_cParameter what, int value), (context, what, value))
CALL(SETTING, size_t, ZSTD_NO_MEMORY, ZSTD_DCtx_setParameter,
     (ZSTD_DCtx * context, ZSTD_dParameter what, int value), (context, what, value))
CALL(SETTING, size_t, ZSTD_NO_MEMORY, ZSTD_CCtx_refCDict,
     (ZSTD_CCtx * context, const ZSTD_CDict *dictionary), (context, dictionary))
CALL(SETTING, size_t, ZSTD_NO_MEMORY, ZSTD_DCtx_refDDict,
     (ZSTD_DCtx * context, const ZSTD_DDict *dictionary), (context, dictionary))
CALL(COMPRESS, size_t, ZSTD_FAILED, ZSTD_compress2,
     (ZSTD_CCtx * context, void *to, size_t room, const void *from, size_t size),
     (context, to, room, from, size))
CALL(COMPRESS, int, 0, LZ4_compress_fast_extState,
     (void *state, const char *from, char *to, int size, int room, int acceleration),
     (state, from, to, size, room, acceleration))
CALL(COMPRESS, int, 0, LZ4_compress_fast_continue,
     (LZ4_stream_t * stream, const char *from, char *to, int size, int room, int acceleration),
     (stream, from, to, size, room, acceleration))
CALL(COMPRESS, int, 0, LZ4_compress_HC_extStateHC,
     (void *state, const char *from, char *to, int size, int room, int level),
     (state, from, to, size, room, level))
CALL(COMPRESS, int, 0, LZ4_compress_HC_continue,
     (LZ4_streamHC_t * stream, const char *from, char *to, int size, int room),
     (stream, from, to, size, room))

/* What is refused in the middle has written something by then. */
static int spoil(void *to, size_t room)
{
	memset(to, 0xEE, room / 2);
	return -1;
}

CALL(DECOMPRESS, size_t, (size_t)spoil(to, room), ZSTD_decompressDCtx,
     (ZSTD_DCtx * context, void *to, size_t room, const void *from, size_t size),
     (context, to, room, from, size))
CALL(DECOMPRESS, int, spoil(to, (size_t)room), LZ4_decompress_safe,
     (const char *from, char *to, int size, int room), (from, to, size, room))
CALL(DECOMPRESS, int, spoil(to, (size_t)room), LZ4_decompress_safe_usingDict,
     (const char *from, char *to, int size, int room, const char *dictionary, int length),
     (from, to, size, room, dictionary, length))
#if FAULTS_LZO
CALL(COMPRESS, int, LZO_E_ERROR, lzo1x_1_compress,
     (const lzo_bytep from, lzo_uint size, lzo_bytep to, lzo_uintp length, lzo_voidp memory),
     (from, size, to, length, memory))
CALL(DECOMPRESS, int, spoil(to, *length), lzo1x_decompress_safe,
     (const lzo_bytep from, lzo_uint size, lzo_bytep to, lzo_uintp length, lzo_voidp memory),
     (from, size, to, length, memory))
#endif

/* --- the store's limit, where there is one --- */

int __real_budget_take(struct budget *budget, size_t bytes);
int __wrap_budget_take(struct budget *budget, size_t bytes);

int __wrap_budget_take(struct budget *budget, size_t bytes)
{
	if (atomic_load(&budget->limit) && refused(BUDGET))
		return ENOSPC;
	return __real_budget_take(budget, bytes);
}
