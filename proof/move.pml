/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How an object is moved while others find, map, write, unmap and free it: the
 * shard's lock, pins, handle entries with generations, limits of sources, zspages
 * that are busy while their tails are given back (src/core/compact.c, handle.c,
 * map.c, zspage.c, alloc.c).
 *
 * One shard with one class: ZSPAGES table entries, zspages of SLOTS slots with one
 * page a slot, HANDLES indices of one handle block. Two users who map, write and
 * unmap one object each, or free it, or both; one who frees, helps to compact and
 * allocates anew; one who compacts. All choose their object freely, so two frees and a
 * map meet at one handle.
 *
 * Asserted: who has an object mapped finds in it what was written last; a free is
 * accepted once a life of a handle, and never of a mapped object; who pinned can unpin;
 * every object is there in the end, with its contents; in the right model the
 * data's invariants whenever the lock is free (zs_check()). Spin sees to it that
 * nobody waits for ever (a wait is a step that cannot be done yet) and that no run
 * goes round in circles: every compaction ends.
 *
 * Left out: memory order (the model is sequentially consistent; all data is under
 * the lock), the fairness of the lock, straddling objects, classes, lists (every
 * zspage that might be chosen is tried, not only the fullest), blocks of handles that are
 * packed, freed and made anew (find.pml), counts and limit of the pool, fork.
 *
 * WRONG=1 zs_find() looks at live bit and generation before the lock only
 *       2 is_to_move() does not look at pins
 *       3 move_object() lets go of the lock before the entry is changed
 *       4 zs_free() does not look at pins
 *       5 add_tail() goes by the limit, not by the objects that had to stay
 *       6 add_tail() does not mark the zspage busy
 *       7 zs_map_object() pins after it has unlocked
 *       8 zs_zspage_release() frees the range of addresses before its pages
 *       9 zs_slot_free() retires a zspage that is busy
 */
#ifndef WRONG
#define WRONG 0
#endif

#define ZSPAGES   2
#define RANGES    3
#define SLOTS     2
#define HANDLES   3
#define NOWHERE   255
#ifdef QUICK
#define MOST 0 /* one user maps the first object */
#define IS_CHOICE(what) ((what) % HANDLES != 2)
#else
#define MOST (2 * HANDLES)
#define IS_CHOICE(what) true
#endif
#define PINS_MANY 2 /* from here on a struct pin_count has the number */

#define ID(h, g) ((g) * 4 + (h) + 1) /* what is written into an object */
#define WRITTEN  128                 /* what a user changes, and changes back */

bool lock; /* shard->lock */

/* struct handle_block and its store */
bool live[HANDLES];
byte loc[HANDLES], pins[HANDLES], gen[HANDLES], count[HANDLES];

/* shard->ztab: range + 1, 0 if unused; struct zspage, by its range */
byte ztab[ZSPAGES];
byte map[RANGES], pages[RANGES], limit[RANGES];
bool source[RANGES], left[RANGES], busy[RANGES], pinned[RANGES], kept[RANGES];
bool range_used[RANGES];

/* shard->pass and what goes with it */
mtype = { IDLE, SCAN, TRIM };
mtype pass = IDLE;
byte cursor, to_move;

/* The bytes of the slots; 0: the page is not real, or was never written. */
byte memory[RANGES * SLOTS];

/* What users know: the handle that was given out last for an index. */
byte known[HANDLES];

/* For the assertions: given out and not freed; mapped so often; content. */
bool out[HANDLES];
byte maps[HANDLES], content[HANDLES];

/* Scratch, 0 between steps. */
byte i, j, n, r;

byte ended;

#define RANGE(l)   (ztab[(l) / SLOTS] - 1)
#define SLOT(l)    ((l) % SLOTS)
#define BIT(s)     (1 << (s))
#define BELOW(l)   (BIT(l) - 1)
#define IS_ONE(z)  (ztab[z] != 0)
#define HAS_ROOM(z) \
	(IS_ONE(z) && !busy[ztab[z] - 1] && \
	 (map[ztab[z] - 1] & BELOW(limit[ztab[z] - 1])) != BELOW(limit[ztab[z] - 1]))
#if WRONG == 9
#define IS_EMPTY(l) (map[RANGE(l)] == 0)
#else
#define IS_EMPTY(l) (map[RANGE(l)] == 0 && !busy[RANGE(l)])
#endif
#define IS_SOURCE(z) (IS_ONE(z) && source[ztab[z] - 1])
#define IS_LEFT(z)   (IS_ONE(z) && left[ztab[z] - 1])
#define CAN_GROW(z) \
	(IS_ONE(z) && !busy[ztab[z] - 1] && !source[ztab[z] - 1] && pages[ztab[z] - 1] < SLOTS)

/* --- what must hold --- */

inline check_objects()
{
	for (i : 0 .. HANDLES - 1) {
		if
		:: live[i] ->
			assert(IS_ONE(loc[i] / SLOTS));
			assert(map[RANGE(loc[i])] & BIT(SLOT(loc[i])));
			assert(SLOT(loc[i]) < pages[RANGE(loc[i])]);
			assert(content[i] == 0 ||
			       memory[RANGE(loc[i]) * SLOTS + SLOT(loc[i])] == content[i])
		:: else
		fi
	}
}

/* zs_check(): bits in the maps are objects; to_move is what lies above the limits. */
inline check()
{
	check_objects();
	n = 0;
	r = 0;
	for (i : 0 .. ZSPAGES - 1) {
		for (j : 0 .. SLOTS - 1) {
			if
			:: IS_ONE(i) && (map[ztab[i] - 1] & BIT(j)) ->
				n++;
				if
				:: source[ztab[i] - 1] && j >= limit[ztab[i] - 1] -> r++
				:: else
				fi
			:: else
			fi
		}
	}
	assert(r == to_move);
	for (i : 0 .. HANDLES - 1) {
		n = n - live[i]
	};
	assert(n == 0)
}

/*
 * What is done under the lock is one step with the taking of it: nobody else comes near
 * what it protects. The bytes of slots it does not protect.
 */
inline take_lock()
{
	!lock;
	lock = true
}

inline tidy()
{
	i = 0;
	j = 0;
	n = 0;
	r = 0
}

/* The wrong models are to be refuted by what a user sees. */
inline drop_lock()
{
	d_step {
#if WRONG == 0
		check();
#endif
		tidy();
		lock = false
	}
}

/* --- zspage.c --- */

/* detach(): out of the table; released is the range + 1 that nobody can reach now. */
inline detach(z, released)
{
	released = ztab[z];
	kept[ztab[z] - 1] = false;
	source[ztab[z] - 1] = false;
	pinned[ztab[z] - 1] = false;
	busy[ztab[z] - 1] = false;
	pages[ztab[z] - 1] = 0;
	limit[ztab[z] - 1] = 0;
	ztab[z] = 0
}

/* zs_slot_free(); keep() may keep an empty zspage. */
inline slot_free(l, released)
{
	assert(IS_ONE(l / SLOTS) && (map[RANGE(l)] & BIT(SLOT(l))));
	map[RANGE(l)] = map[RANGE(l)] & (255 - BIT(SLOT(l)));
	if
	:: SLOT(l) >= limit[RANGE(l)] && source[RANGE(l)] -> to_move--
	:: else
	fi;
	if
	:: IS_EMPTY(l) && !source[RANGE(l)] -> kept[RANGE(l)] = true
	:: IS_EMPTY(l) -> detach(l / SLOTS, released)
	:: else
	fi
}

/* zs_zspage_release(): zs_trim(), which decommits; range_free(). No lock. */
inline zspage_release(released)
{
#if WRONG == 8
	range_used[released - 1] = false;
#endif
	d_step {
		for (i : 0 .. SLOTS - 1) {
			memory[(released - 1) * SLOTS + i] = 0
		}
	}
#if WRONG != 8
	range_used[released - 1] = false;
#endif
	released = 0
}

/* take_slot(): the lowest one below the limit; found and l are set. */
inline take_slot(z, l)
{
	j = 0;
	do
	:: map[ztab[z] - 1] & BIT(j) -> j++
	:: else -> break
	od;
	map[ztab[z] - 1] = map[ztab[z] - 1] | BIT(j);
	kept[ztab[z] - 1] = false;
	l = (z) * SLOTS + j
}

/* take_room(), of any zspage that has some. */
inline take_room(l, found)
{
	if
	:: HAS_ROOM(0) -> take_slot(0, l); found = true
	:: HAS_ROOM(1) -> take_slot(1, l); found = true
	:: else
	fi
}

/* zs_restore_source() */
inline restore_source(z)
{
	r = ztab[z] - 1;
	for (j : limit[r] .. SLOTS - 1) {
		if
		:: map[r] & BIT(j) -> to_move--
		:: else
		fi
	}
	source[r] = false;
	left[r] = false;
	kept[r] = map[r] == 0;
	limit[r] = pages[r]
}

/* grow(): one page */
inline grow(z, l, found)
{
	pages[ztab[z] - 1]++;
	limit[ztab[z] - 1] = pages[ztab[z] - 1];
	take_slot(z, l);
	found = true
}

/* add_zspage(): new_zspage(), range_alloc(), grow() */
inline add_zspage(z, from, l, found)
{
	ztab[z] = from + 1;
	range_used[from] = true;
	grow(z, l, found)
}

/* zs_slot_alloc(); found stays false if there is no page to be had */
inline slot_alloc(l, found)
{
	take_room(l, found);
	do
	:: !found && IS_SOURCE(0) -> restore_source(0); take_room(l, found)
	:: !found && IS_SOURCE(1) -> restore_source(1); take_room(l, found)
	:: else -> break
	od;
	if
	:: found
	:: !found && CAN_GROW(0) -> grow(0, l, found)
	:: !found && CAN_GROW(1) -> grow(1, l, found)
	:: else ->
		r = 0;
		do
		:: r < RANGES && range_used[r] -> r++
		:: else -> break
		od;
		if
		:: r < RANGES && !IS_ONE(0) -> add_zspage(0, r, l, found)
		:: r < RANGES && !IS_ONE(1) -> add_zspage(1, r, l, found)
		:: else
		fi
	fi
}

/* --- handle.c --- */

#if WRONG == 1
#define LOOK(h, g) found = live[h] && gen[h] == g;
#else
#define LOOK(h, g)
#endif

/* zs_find(), after LOOK() and as part of a step: found, and then the lock is held */
inline find(h, g)
{
#if WRONG == 1
	if
	:: found -> take_lock()
	:: else
	fi
#else
	take_lock();
	found = live[h] && gen[h] == g;
	if
	:: found
	:: else -> drop_lock()
	fi
#endif
}

/* zs_pin(); the page for a counter can be refused */
inline pin(h)
{
	if
	:: pins[h] < PINS_MANY - 1 -> pins[h]++
	:: pins[h] == PINS_MANY -> count[h]++
	:: pins[h] == PINS_MANY - 1 -> count[h] = PINS_MANY; pins[h]++
	:: pins[h] == PINS_MANY - 1 -> found = false
	fi
}

/* zs_unpin() */
inline unpin(h)
{
	assert(pins[h]);
	if
	:: pins[h] == PINS_MANY && count[h] > PINS_MANY -> count[h]--
	:: else -> count[h] = 0; pins[h]--
	fi
}

/* --- map.c --- */

/* zs_map_object(); what the user does; unmap() */
inline use(h, g)
{
	LOOK(h, g)
	atomic {
		find(h, g);
		if
		:: found ->
			address = RANGE(loc[h]) * SLOTS + SLOT(loc[h]);
#if WRONG != 7
			pin(h);
			maps[h] = maps[h] + found;
#endif
			drop_lock()
		:: else
		fi
	};
#if WRONG == 7
	atomic {
		if
		:: found -> take_lock(); pin(h); maps[h] = maps[h] + found; drop_lock()
		:: else
		fi
	};
#endif
	if
	:: found ->
		d_step {
			assert(memory[address] == content[h]);
			memory[address] = memory[address] ^ WRITTEN;
			content[h] = content[h] ^ WRITTEN
		};
		LOOK(h, g)
		atomic {
			assert(memory[address] == content[h]);
			memory[address] = memory[address] ^ WRITTEN;
			content[h] = content[h] ^ WRITTEN;
			find(h, g);
			assert(found);
			assert(address == RANGE(loc[h]) * SLOTS + SLOT(loc[h]));
			maps[h]--;
			unpin(h);
			address = 0;
			drop_lock()
		}
	:: else
	fi
}

/* --- compact.c --- */

/* plan_source(), make_source() */
inline plan(z)
{
	if
	:: HAS_ROOM(z) ->
		r = ztab[z] - 1;
		n = (pages[r] > room -> pages[r] - room : 0);
		if
		:: n < pages[r] && !pinned[r] ->
			room = room - (pages[r] - n);
			source[r] = true;
			kept[r] = false;
			limit[r] = n;
			gain = true;
			for (j : n .. SLOTS - 1) {
				if
				:: map[r] & BIT(j) -> to_move++
				:: else
				fi
			}
		:: else
		fi
	:: else
	fi
}

inline count_room(z)
{
	if
	:: IS_ONE(z) ->
		for (j : 0 .. SLOTS - 1) {
			if
			:: j < limit[ztab[z] - 1] && !(map[ztab[z] - 1] & BIT(j)) -> room++
			:: else
			fi
		}
	:: else
	fi
}

/* begin_pass(): in any order */
inline begin_pass()
{
	if
	:: IS_LEFT(0) -> restore_source(0)
	:: else
	fi;
	if
	:: IS_LEFT(1) -> restore_source(1)
	:: else
	fi;
	gain = false;
	room = 0;
	count_room(0);
	count_room(1);
	if
	:: true -> plan(0); plan(1)
	:: true -> plan(1); plan(0)
	fi;
	if
	:: gain -> pass = SCAN; cursor = 0
	:: else
	fi
}

/* is_to_move(); sets take */
inline is_to_move(h)
{
	take = live[h] && source[RANGE(loc[h])] && SLOT(loc[h]) >= limit[RANGE(loc[h])];
#if WRONG != 2
	if
	:: take && pins[h] -> pinned[RANGE(loc[h])] = true; take = false
	:: else
	fi
#endif
}

/* scan_block(), up to where it lets go of the lock; with move_object() */
inline scan()
{
	h = cursor;
	do
	:: h == HANDLES -> break
	:: else ->
		is_to_move(h);
		found = false;
		if
		:: take -> take_room(target, found)
		:: else
		fi;
		if
		:: found -> break
		:: else -> h++
		fi
	od;
	if
	:: h < HANDLES ->
		cursor = h + 1;
		/* zs_slot_copy() */
		from = loc[h];
		memory[RANGE(target) * SLOTS + SLOT(target)] =
			memory[RANGE(from) * SLOTS + SLOT(from)];
#if WRONG != 3
		loc[h] = target;
		slot_free(from, released);
		freed = released
#endif
	:: else -> cursor = HANDLES
	fi
}

/* add_tail(): sets tail[z] to the pages that stay + 1 */
inline add_tail(z)
{
	r = ztab[z] - 1;
	n = limit[r];
	for (j : limit[r] .. SLOTS - 1) {
		if
		:: map[r] & BIT(j) ->
			to_move--;
#if WRONG != 5
			n = j + 1
#endif
		:: else
		fi
	};
	source[r] = false;
	left[r] = false;
#if WRONG != 6
	busy[r] = true;
#endif
	tail[z] = n + 1;
	freed = freed || n < pages[r]
}

/* zs_cut() and relist(): zs_retire_if_empty() */
inline relist(z)
{
	atomic {
		if
		:: tail[z] ->
			take_lock();
			assert(IS_ONE(z));
			pages[ztab[z] - 1] = tail[z] - 1;
			limit[ztab[z] - 1] = tail[z] - 1;
			busy[ztab[z] - 1] = false;
			tail[z] = 0;
			if
			:: map[ztab[z] - 1] == 0 -> detach(z, released)
			:: else
			fi;
			drop_lock()
		:: else
		fi
	};
	if
	:: released -> zspage_release(released)
	:: else
	fi
}

inline give_back(z)
{
	if
	:: tail[z] && IS_ONE(z) ->
		for (i : tail[z] - 1 .. SLOTS - 1) {
			memory[(ztab[z] - 1) * SLOTS + i] = 0
		}
	:: else
	fi
}

/* zs_decommit(), and what follows it */
inline trim()
{
	d_step { give_back(0); give_back(1); tidy() };
	relist(0);
	relist(1)
}

/* leave_tails() */
inline leave(z)
{
	if
	:: IS_SOURCE(z) -> left[ztab[z] - 1] = true
	:: else
	fi
}

/* add_left(): a pass over another shard gives back what was left in this one */
inline trim_left()
{
	atomic {
		take_lock();
		if
		:: IS_LEFT(0) -> add_tail(0)
		:: else
		fi;
		if
		:: IS_LEFT(1) -> add_tail(1)
		:: else
		fi;
		freed = false;
		drop_lock()
	};
	if
	:: tail[0] || tail[1] -> trim()
	:: else
	fi
}

/*
 * do_step(), and the lock before and after it, which its callers hold. Where C takes the lock
 * again only for its caller to release it, the model does not.
 */
inline do_step(patient)
{
	atomic {
		take_lock();
		freed = false;
		over = false;
		if
		:: pass == SCAN && (cursor == HANDLES || to_move == 0) -> pass = TRIM; cursor = 0
		:: pass == SCAN && cursor < HANDLES && to_move > 0 -> scan()
		:: pass == TRIM && (IS_SOURCE(0) || IS_SOURCE(1)) && patient && !to_move ->
			leave(0);
			leave(1);
			pass = IDLE;
			over = true
		:: pass == TRIM && (IS_SOURCE(0) || IS_SOURCE(1)) ->
			/* trim_sources() */
			if
			:: IS_SOURCE(0) -> add_tail(0)
			:: else
			fi;
			if
			:: IS_SOURCE(1) -> add_tail(1)
			:: else
			fi
		:: else -> pass = IDLE; over = true
		fi;
		take = false;
		found = false;
		drop_lock()
	};
#if WRONG == 3
	atomic {
		if
		:: target != NOWHERE ->
			take_lock();
			loc[h] = target;
			slot_free(from, released);
			freed = released;
			drop_lock()
		:: else
		fi
	};
#endif
	d_step { target = NOWHERE; from = 0; h = 0 };
	if
	:: released -> zspage_release(released)
	:: tail[0] || tail[1] -> trim()
	:: else
	fi
}

/* abandon_pass() */
inline abandon_pass()
{
	if
	:: IS_SOURCE(0) -> restore_source(0)
	:: else
	fi;
	if
	:: IS_SOURCE(1) -> restore_source(1)
	:: else
	fi;
	pass = IDLE;
	cursor = 0
}

#define IS_KEPT(z) (IS_ONE(z) && kept[ztab[z] - 1])

/* zs_drop_kept() */
inline drop_kept()
{
	do
	:: atomic {
		!lock && (IS_KEPT(0) || IS_KEPT(1)) ->
		take_lock();
		if
		:: IS_KEPT(0) -> detach(0, released)
		:: IS_KEPT(1) -> detach(1, released)
		fi;
		drop_lock()
	   };
		zspage_release(released)
	:: !lock && !IS_KEPT(0) && !IS_KEPT(1) -> break
	od
}

#define STEP_LOCALS                       \
	byte target = NOWHERE, from, released, h; \
	byte tail[ZSPAGES];               \
	bool found, take, freed, over;

/* zs_compact_some(): with a budget it goes on with the pass under way, else it plans anew */
proctype compactor()
{
	STEP_LOCALS
	byte room;
	bool again, gain;

	drop_kept();
	/* compact_shard() */
	atomic {
		take_lock();
		if
		:: pass != IDLE -> abandon_pass()
		:: true
		fi;
		if
		:: pass == IDLE ->
			for (i : 0 .. RANGES - 1) {
				pinned[i] = false /* forget_pinned() */
			}
		:: else
		fi;
		drop_lock()
	};
	do
	:: true ->
		atomic {
			take_lock();
			again = pass != IDLE;
			if
			:: pass == IDLE -> begin_pass()
			:: else
			fi;
			over = pass == IDLE;
			gain = false;
			room = 0;
			drop_lock()
		};
		do
		:: !over ->
			do_step(false);
			again = again || freed
		:: else -> break
		od;
		if
		:: again
		:: else -> break
		fi
	od;
	atomic { again = false; freed = false; over = false; ended++ }
}

inline choose(h)
{
	if
	:: h = 1
#ifndef QUICK
	:: h = 0
	:: h = 2
#endif
	fi
}

/* zs_free() */
inline free_object(h, g)
{
	LOOK(h, g)
	atomic {
		find(h, g);
		if
		:: found && pins[h] && WRONG != 4 -> drop_lock()
		:: found && (!pins[h] || WRONG == 4) ->
			assert(out[h] && gen[h] == g);
			/* zs_handle_free() */
			live[h] = false;
			out[h] = false;
			slot_free(loc[h], released);
			loc[h] = 0;
			content[h] = 0;
			drop_lock()
		:: else
		fi;
		found = false
	};
	if
	:: released -> zspage_release(released)
	:: else
	fi
}

/* what: to map and write an object, or, from HANDLES on, to free it */
proctype user(byte what)
{
	byte g, address, released;
	bool found;

	g = known[what % HANDLES];
	if
	:: what < HANDLES -> use(what, g)
	:: else ->
		what = what - HANDLES;
		free_object(what, g)
	fi;
	atomic { what = 0; g = 0; found = false; ended++ }
}

/* zs_malloc(), and zs_obj_write() */
inline allocate()
{
	atomic {
		take_lock();
		it = 0;
		do
		:: it < HANDLES && live[it] -> it++
		:: else -> break
		od;
		if
		:: it < HANDLES -> slot_alloc(target, found)
		:: else
		fi;
		if
		:: found ->
			/* zs_handle_take() */
			gen[it]++;
			g = gen[it];
			loc[it] = target;
			live[it] = true;
			out[it] = true;
			content[it] = 0
		:: else
		fi;
		target = NOWHERE;
		drop_lock()
	};
	if
	:: found ->
		LOOK(it, g)
		atomic {
			find(it, g);
			assert(found);
			memory[RANGE(loc[it]) * SLOTS + SLOT(loc[it])] = ID(it, g);
			content[it] = ID(it, g);
			drop_lock();
			known[it] = g
		}
	:: else
	fi
}

proctype freer()
{
	STEP_LOCALS
	byte it, g;

	atomic { choose(it); g = known[it] };
	free_object(it, g);
	d_step { it = 0; g = 0 };
#ifndef QUICK
	do_step(true); /* zs_compact_step_auto() */
	if
	:: trim_left()
	:: true
	fi;
#endif
	allocate();
	atomic { it = 0; g = 0; found = false; freed = false; over = false; ended++ }
}

inline put(h, l)
{
	live[h] = true;
	out[h] = true;
	loc[h] = l;
	map[l / SLOTS] = map[l / SLOTS] | BIT(SLOT(l));
	content[h] = ID(h, 0);
	memory[l] = ID(h, 0)
}

init {
	byte a, b, room;
	bool gain;

	atomic {
		ztab[0] = 1;
		ztab[1] = 2;
		for (i : 0 .. 1) {
			pages[i] = SLOTS;
			limit[i] = SLOTS;
			range_used[i] = true
		};
		if
		:: put(0, 1); put(1, 2) /* one zspage can be emptied */
#ifndef QUICK
		:: put(0, 1); put(1, 2); begin_pass() /* that is under way */
		:: put(0, 0); put(1, 1); put(2, 3) /* one page of the second can go */
#endif
		fi;
		tidy();
		gain = false;
		room = 0;
		/* The users are alike: who is first does not matter. */
		do
		:: break
		:: b < 2 * HANDLES - 1 -> b++
		od;
		do
		:: break
		:: a < b && a < MOST -> a++
		od;
		if
		:: IS_CHOICE(b)
		:: else -> b = 0
		fi;
		run user(a);
		run user(b);
		a = 0;
		b = 0;
		run freer();
		run compactor()
	};
	ended == 4;
	d_step { check(); tidy() }
}
