/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How a handle leads to its object while its block is freed, made anew in this shard or
 * another, or its page is taken for other metadata: the reads of key and shard
 * without a lock, and the look again under it (zs_find() in src/core/handle.c, with
 * new_block(), free_block(), zs_handle_take(), zs_handle_free(); meta.c).
 *
 * One place where a handle block can be, with one entry, and two shards. Two
 * users who hold the same handle, and free or map it (if both free it, one of the frees is a
 * double one); a third one, who does so with a handle that is given out later; one who
 * allocates in either shard; one who takes the page for other metadata if the block is
 * free, fills it with anything, and gives it back.
 *
 * Asserted: the lock that is taken is that of a shard; a free is accepted if the
 * handle is out, and so once; who mapped can unmap, and nobody frees meanwhile. Nobody waits
 * for ever, every call ends.
 *
 * Left out: memory order; forged handles and tags (a tag that does not fit is a key
 * that does not fit), which are a matter of probabilities, and so that the first word of a
 * page of other metadata never looks like the block's key; generations that have gone round.
 *
 * WRONG=1 nothing is looked at again under the lock but live bit and generation
 *       2 the block's key is not looked at again
 *       3 the live bit is not looked at
 *       4 the generation is not looked at
 *       5 the next life of a block has the same key
 *       6 live bit and generation are looked at before the lock only
 *       7 the shard that was read is followed before the key has been seen again
 *       8 zs_free() does not look at pins
 */
#ifndef WRONG
#define WRONG 0
#endif

#ifdef QUICK /* without the third user */
#define PROCESSES 4
#else
#define PROCESSES 5
#endif
#define WILD  9 /* no shard */
#define NOISE 99
#define LIVES 3
#define GENS  4
#define NONE  255

/* struct handle_block, and its only entry */
byte key = 1, shard = 1;
bool live = true;
byte gen = 1, pins;

bool lock[3]; /* of shard 1, 2 */
bool free;    /* the block's chunk */
bool other;   /* its page is one of other metadata */
byte lives = 1;

/* What users know: key and generation are the handle. */
byte known_key = 1, known_gen = 1;

/* For the assertions, by key and generation */
bool out[LIVES * GENS];
byte mapped;
byte ended;

#define OUT(k, g) out[(k - 1) * GENS + (g)]

/* free_block(): the chunk's content stays (zs_meta_free()) */
inline free_block()
{
	shard = 0;
	free = true
}

/* zs_handle_free(); the block stays if it is the shard's hand */
inline handle_free()
{
	live = false;
	if
	:: free_block()
	:: true
	fi
}

/* zs_find(): ref is the shard that is locked, 0 if the handle was refused */
inline find(k, g)
{
	ref = 0;
	if
	:: key == k -> /* block_of() */
		ref = shard;
#if WRONG != 7
		if
		:: key != k -> ref = 0
		:: else
		fi;
#endif
#if WRONG == 6
		if
		:: !live || gen != g -> ref = 0
		:: else
		fi;
#endif
		if
		:: ref ->
			assert(ref == 1 || ref == 2);
			atomic { !lock[ref] -> lock[ref] = true };
			if
#if WRONG == 1
			:: live && gen == g
#elif WRONG == 2
			:: shard == ref && live && gen == g
#elif WRONG == 3
			:: shard == ref && key == k && gen == g
#elif WRONG == 4
			:: shard == ref && key == k && live
#elif WRONG == 6
			:: shard == ref && key == k
#else
			:: shard == ref && key == k && live && gen == g
#endif
			:: else -> lock[ref] = false; ref = 0
			fi
		:: else
		fi
	:: else
	fi
}

/* zs_free() */
inline zs_free(k, g)
{
	find(k, g);
	if
	:: ref && pins && WRONG != 8 -> lock[ref] = false
	:: ref && (!pins || WRONG == 8) ->
		atomic {
			assert(OUT(k, g));
			assert(!mapped);
			OUT(k, g) = false;
			handle_free()
		};
		lock[ref] = false
	:: else
	fi
}

/* zs_map_object(), zs_unmap_object() */
inline use(k, g)
{
	find(k, g);
	if
	:: ref ->
		atomic { assert(OUT(k, g)); pins++; mapped++ };
		lock[ref] = false;
		find(k, g);
		assert(ref);
		atomic { pins--; mapped-- };
		lock[ref] = false
	:: else
	fi
}

proctype user(bool late)
{
	byte k, g, ref;

	atomic {
		!late || known_key != 1 || known_gen != 1 || ended >= PROCESSES - 1;
		k = known_key;
		g = known_gen
	};
	if
	:: zs_free(k, g)
	:: use(k, g)
	fi;
	atomic { k = 0; g = 0; ref = 0; ended++ }
}

/* zs_malloc(): new_block() if there is none, zs_handle_take() */
inline allocate(s)
{
	atomic { !lock[s] -> lock[s] = true };
	atomic {
		/* zs_meta_alloc(): the chunk is a block's, and free */
		mine = free && !other;
		free = free && !mine
	};
	if
	:: mine ->
		live = false;
#if WRONG == 5
		key = 1;
#else
		lives++;
		key = lives;
#endif
		gen = 0;
		shard = s
	:: else
	fi;
	atomic {
		if
		:: shard == s && !live && !free && !other ->
			gen++;
			live = true;
			OUT(key, gen) = true;
			known_key = key;
			known_gen = gen
		:: else
		fi;
		mine = false;
		lock[s] = false
	}
}

proctype allocator()
{
	bool mine;
	byte s, n;

	do
	:: n < 2 ->
		n++;
		if
		:: s = 1
		:: s = 2
		fi;
		allocate(s)
	:: else -> break
	od;
	atomic { s = 0; n = 0; ended++ }
}

/* zs_meta_free() of the page's last block, zs_meta_alloc() of something else, and back */
proctype taker()
{
	bool mine;

	atomic { mine = free; other = mine };
	if
	:: mine ->
		key = 0;
		shard = 0;
		key = NOISE;
		if
		:: shard = WILD
		:: shard = 2
		fi;
		live = true;
		key = 0;
		shard = 0;
		live = false;
		other = false
	:: else
	fi;
	atomic { mine = false; ended++ }
}

init {
	atomic {
		OUT(1, 1) = true;
		run user(false);
		run user(false);
		run allocator();
		run taker();
#ifndef QUICK
		run user(true)
#endif
	};
	ended == PROCESSES;
	assert(!lock[1] && !lock[2] && !mapped && !pins);
	assert(!live || OUT(key, gen))
}
