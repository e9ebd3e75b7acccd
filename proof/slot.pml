/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How a block of the store is read, written, written in part and discarded while others
 * do so and its leaf of the slot table is given back: the read/write lock in the slot's
 * head, the leaf's presence bit, the look at it again after locking, the page that
 * madvise() zeroes with the locks in it (src/zram/table.h, table.c, store.c).
 *
 * One leaf of SLOTS slots, all of one page. Two users with one call each, of any kind,
 * to any block; one who discards all blocks (the freer); one who trims (the compactor).
 * A pool of OBJECTS objects: mapped ones must not be freed, freed ones not be used.
 *
 * Asserted: a read returns what the block held at one moment between its begin and
 * its end; a write of a part changes what was there then; no object is used after it was
 * freed, freed while it is mapped, freed twice, or lost; in the end nothing is locked,
 * every block holds what was written last, what the budget counts is what is present, a
 * leaf that is not present has no page, and one that is has something in it. Nobody
 * waits for ever, every call ends.
 *
 * Left out: memory order (sequentially consistent), the limit on readers but as
 * a number, compression, checksums, the radix tree above the leaf, and that who
 * waits may be overtaken (a wait is a step that cannot be done yet).
 *
 * WRONG=1 table_lock() does not look at the presence bit again
 *       2 lock_empty() looks whether all slots are empty, but does not lock them
 *       3 trim_leaf() clears the presence bit after the page has gone
 *       4 lock_empty() goes by what is stored, not by who has the slot
 *       5 slot_lock_write() does not wait for the readers that are in
 *       6 read_part() does not lock the slot
 *       7 drop_block() goes by the code that it saw before it locked
 *       8 read_part() does not trim when it had locked an empty slot
 *       9 replace_and_unlock() frees the old object after it has unlocked, but reads its
 *         handle only then
 */
#ifndef WRONG
#define WRONG 0
#endif

#define SLOTS       2
#define OBJECTS     5
#define READERS_MAX 2
#define PROCESSES   4
#ifdef QUICK
#define MOST 0 /* one user reads the first block, the other one has it too */
#define IS_CHOICE(call) ((call) % SLOTS == 0)
#else
#define IS_CHOICE(call) true
#define MOST (3 * SLOTS)
#endif

mtype = { EMPTY, OBJECT, SAME }; /* enum slot_code */

/* struct slot: head is writer, readers and code, and always one access; word */
bool writer[SLOTS];
byte readers[SLOTS];
mtype code[SLOTS] = EMPTY;
byte word[SLOTS]; /* the object, or the content of a same-filled block */

bool present;    /* the leaf's bit in chunk->present */
bool real;       /* its page was written since it was given back last */
byte counted;    /* leaves in the budget */
bool table_lock; /* table->lock */

/* The pool: 0 is no object. */
bool live[OBJECTS];
byte mapped[OBJECTS], content[OBJECTS];

/*
 * For the assertions. A content is who wrote the block last, and PART if somebody changed a
 * part since. truth is what it is; seen[p] what p may read.
 */
#define PART 4
byte truth[SLOTS];
byte seen[PROCESSES + 1], reads[PROCESSES + 1];
byte ended;

byte k; /* scratch */

#define IS_ZERO(s) (!writer[s] && readers[s] == 0 && code[s] == EMPTY)

/* A block is about to hold something else. */
inline becomes(s, value)
{
	truth[s] = value;
	for (k : 1 .. PROCESSES) {
		if
		:: reads[k] == s + 1 -> seen[k] = seen[k] | (1 << truth[s])
		:: else
		fi
	};
	k = 0
}

/* --- the pool --- */

/* zs_malloc(), which may fail: then object is 0 */
inline pool_malloc(object)
{
	object = 1;
	do
	:: object < OBJECTS && live[object] -> object++
	:: else -> break
	od;
	assert(object < OBJECTS);
	if
	:: live[object] = true; content[object] = 0
	:: object = 0
	fi
}

/* zs_free() */
inline pool_free(object)
{
	d_step {
		if
		:: object ->
			assert(live[object]);
			assert(mapped[object] == 0);
			live[object] = false;
			content[object] = 0;
			object = 0
		:: else
		fi
	}
}

/* --- slots: table.h --- */

/* slot_lock_read(): the compare-and-exchange that succeeds */
inline lock_read(s)
{
#if WRONG != 6
	atomic {
		!writer[s] && readers[s] < READERS_MAX;
		readers[s]++;
		real = true
	}
#else
	skip
#endif
}

/* slot_unlock_read() */
inline unlock_read(s)
{
#if WRONG != 6
	readers[s]--
#else
	skip
#endif
}

/* slot_lock_write(): fetch_or, then the readers are waited for */
inline lock_write(s)
{
	atomic { !writer[s]; writer[s] = true; real = true };
#if WRONG != 5
	readers[s] == 0
#endif
}

/* slot_unlock_write(): stores the head */
inline unlock_write(s, new)
{
	d_step {
		writer[s] = false;
#if WRONG != 5
		readers[s] = 0;
#endif
		code[s] = new;
		real = true
	}
}

/* --- the table: table.c --- */

/* make_present(): error, if the budget says no */
inline make_present()
{
	atomic { !table_lock; table_lock = true };
	atomic {
		if
		:: present
		:: !present -> present = true; counted++
		:: !present -> error = true
		fi;
		table_lock = false
	}
}

/* trim_leaf(), with the lock around it: lock_empty(), the bit, give_back() */
inline trim()
{
	atomic {
		!table_lock;
		table_lock = true;
		was = present;
		n = 0
	};
	do /* lock_empty(): does not write before it knows */
	:: n < SLOTS && IS_ZERO(n) -> n++
#if WRONG == 4
	:: n < SLOTS && !IS_ZERO(n) && code[n] == EMPTY -> n++
#endif
	:: else -> break
	od;
	if
	:: n == SLOTS ->
		n = 0;
#if WRONG == 2
		n = SLOTS;
#endif
		do
		:: atomic { n < SLOTS && IS_ZERO(n) -> writer[n] = true; real = true; n++ }
#if WRONG == 4
		:: atomic {
			n < SLOTS && !IS_ZERO(n) && code[n] == EMPTY ->
			writer[n] = true;
			n++
		   }
#endif
		:: else -> break
		od;
		if
		:: n == SLOTS ->
#if WRONG != 3
			present = false;
#endif
			d_step { /* give_back(): the locks go with the page */
				for (n : 0 .. SLOTS - 1) {
					writer[n] = false;
					readers[n] = 0;
					code[n] = EMPTY;
					word[n] = 0
				};
				real = false
			};
#if WRONG == 3
			present = false;
#endif
			counted = counted - was
		:: else ->
			do /* unlock_empty() */
			:: n > 0 -> n--; unlock_write(n, EMPTY)
			:: else -> break
			od
		fi
	:: else
	fi;
	atomic { n = 0; was = false; table_lock = false }
}

/* table_lock(): error, if there is no page to be had */
inline lock_block(s)
{
	do
	:: true ->
		if
		:: present
		:: else -> make_present()
		fi;
		if
		:: error ->
			if
			:: gone -> trim()
			:: else
			fi;
			break
		:: else
		fi;
		lock_write(s);
#if WRONG != 1
		if
		:: present -> break
		:: else -> unlock_write(s, EMPTY); gone = true
		fi
#else
		break
#endif
	od;
	gone = false
}

/* --- calls: store.c --- */

/* read_locked(): sets value; nobody changes a slot while it is locked */
inline read_locked(s)
{
	atomic {
		old = code[s];
		if
		:: old == OBJECT -> /* zs_map_object() */
			object = word[s];
			assert(object && live[object]);
			mapped[object]++
		:: old == SAME -> value = word[s]
		:: old == EMPTY -> value = 0
		fi
	};
	d_step {
		if
		:: object -> /* zs_unmap_object() */
			assert(live[object]);
			value = content[object];
			mapped[object]--;
			object = 0
		:: else
		fi
	}
}

/* read_part() */
inline read_part(s)
{
	d_step { reads[_pid] = s + 1; seen[_pid] = 1 << truth[s] };
	value = 0;
	if
	:: !present
	:: present ->
		if
		:: code[s] == EMPTY
		:: code[s] != EMPTY ->
			lock_read(s);
			read_locked(s);
			unlock_read(s);
#if WRONG != 8
			if
			:: old == EMPTY -> trim()
			:: else
			fi
#endif
		fi
	fi;
	d_step {
		assert(seen[_pid] & (1 << value));
		seen[_pid] = 0;
		reads[_pid] = 0;
		value = 0;
		old = EMPTY
	}
}

/*
 * replace_and_unlock(): value is to be stored, as an object or not. Up to where it unlocks
 * it touches what the lock protects, and is one step.
 */
inline replace_and_unlock(s)
{
	atomic {
		old = code[s];
#if WRONG != 9
		garbage = (old == OBJECT -> word[s] : 0);
#endif
		if
		:: old == OBJECT ->
			content[word[s]] = value; /* put_object(): fits_in_place() */
			garbage = 0;
			new = OBJECT
		:: true ->
			pool_malloc(object);
			error = object == 0;
			if
			:: object ->
				content[object] = value; /* zs_obj_write() */
				word[s] = object
			:: else -> garbage = 0
			fi;
			object = 0;
			new = OBJECT
		:: true ->
			word[s] = value;
			new = SAME
		fi;
		if
		:: error -> unlock_write(s, old)
		:: else -> becomes(s, value); unlock_write(s, new)
		fi;
		value = 0
	};
	if
	:: error && old == EMPTY -> trim()
	:: error && old != EMPTY
	:: else ->
#if WRONG == 9
		garbage = (old == OBJECT -> word[s] : 0);
#endif
		pool_free(garbage)
	fi
}

/* write_whole() */
inline write_whole(s)
{
	lock_block(s);
	if
	:: !error -> value = _pid; replace_and_unlock(s)
	:: else
	fi
}

/* rewrite_part() */
inline rewrite_part(s)
{
	lock_block(s);
	if
	:: !error ->
		read_locked(s);
		assert(value == truth[s]);
		value = value | PART;
		replace_and_unlock(s)
	:: else
	fi
}

/* drop_block(): dropped, if there was anything */
inline drop_block(s)
{
	if
	:: present ->
		old = code[s];
		if
		:: old == EMPTY
		:: else ->
			lock_write(s);
			atomic {
#if WRONG != 7
				old = code[s];
#endif
				garbage = (old == OBJECT -> word[s] : 0);
				becomes(s, 0);
				unlock_write(s, EMPTY)
			};
			pool_free(garbage);
			dropped = true
		fi
	:: else
	fi
}

/* drop_blocks() */
inline drop_all()
{
	drop_block(0);
	drop_block(1);
	if
	:: dropped -> trim()
	:: else
	fi
}

#define LOCALS                                 \
	byte n, value, object, garbage;        \
	mtype old = EMPTY, new = EMPTY;        \
	bool error, gone, was, dropped;

inline leave()
{
	atomic {
		value = 0;
		old = EMPTY;
		new = EMPTY;
		error = false;
		dropped = false;
		ended++
	}
}

/* A call to a block; kind: zram_pread(), zram_pwrite() of all of it, of a part */
proctype user(byte kind; byte block)
{
	LOCALS

	if
	:: kind == 0 -> read_part(block)
	:: kind == 1 -> write_whole(block)
	:: kind == 2 -> rewrite_part(block)
	fi;
	block = 0;
	kind = 0;
	leave()
}

/* zram_discard() */
proctype freer()
{
	LOCALS

	drop_all();
	leave()
}

/* table_trim_all() */
proctype trimmer()
{
	LOCALS

	if
	:: present -> trim()
	:: else
	fi;
	leave()
}

inline check_end()
{
	n = 0;
	for (k : 0 .. SLOTS - 1) {
		assert(!writer[k] && readers[k] == 0);
		assert(present || code[k] == EMPTY);
		if
		:: code[k] == OBJECT -> assert(live[word[k]] && content[word[k]] == truth[k]); n++
		:: code[k] == SAME -> assert(word[k] == truth[k])
		:: else -> assert(truth[k] == 0)
		fi
	};
	for (k : 1 .. OBJECTS - 1) {
		assert(mapped[k] == 0);
		n = n - live[k]
	};
	assert(n == 0);
	assert(counted == present);
	assert(present || !real);
	assert(!present || code[0] != EMPTY || code[1] != EMPTY)
}

init {
	byte n, a, b;

	atomic {
		if /* the leaf has been there, or not */
		:: true ->
			present = true;
			real = true;
			counted = 1;
			code[0] = OBJECT;
			word[0] = 1;
			live[1] = true;
			content[1] = 3;
			truth[0] = 3
#ifndef QUICK
		:: true
#endif
		fi;
		/* The users are alike: who is first does not matter. */
		do
		:: break
		:: b < 3 * SLOTS - 1 -> b++
		od;
		do
		:: break
		:: a < b && a < MOST -> a++
		od;
		if
		:: IS_CHOICE(b)
		:: else -> b = 0
		fi;
		run user(a / SLOTS, a % SLOTS);
		run user(b / SLOTS, b % SLOTS);
		a = 0;
		b = 0;
		run freer();
		run trimmer()
	};
	ended == PROCESSES;
	d_step { check_end() }
}
