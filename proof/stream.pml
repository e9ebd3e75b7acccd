/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How calls share streams and wait for them, and how one takes all of them to have the
 * store for itself (src/zram/stream.c).
 *
 * MAX streams, of which one is made; two users, who take a stream and release it,
 * two (reset and resize, say) who quiesce and resume. Whether memory for another stream is to
 * be had is open.
 *
 * Asserted: a stream has one holder; who has quiesced is alone; nobody sleeps who
 * could go on (no deadlock), every call ends. With -DLOOP users go round for ever,
 * and the claim `alone` says that who quiesces gets through all the same (weak fairness).
 *
 * Left out: memory order. The flags busy, waiters and quiescing are sequentially
 * consistent in C as they are here; each pair of "write mine, then read yours" needs it.
 * A condition wakes nobody without cause here, which is the worse case.
 *
 * WRONG=1 stream_release() looks for waiters before it clears busy
 *       2 take_slowly() counts itself as a waiter after it has looked for a free stream
 *       3 stream_take() does not look at quiescing (refuted with -DLOOP)
 *       4 take_slowly() does not look at quiescing
 *       5 streams_resume() wakes nobody
 *       6 wake() does not take the lock
 *       7 try_take() looks and stores, without an exchange
 *       8 streams_quiesce() does not wait for another one
 *       9 streams_quiesce() takes only those streams that are free
 */
#ifndef WRONG
#define WRONG 0
#endif

#ifndef MAX
#define MAX 2
#endif
#define PROCESSES 4

bool lock;                  /* streams->lock */
bool sleeps[PROCESSES + 1]; /* in pthread_cond_wait() */
byte waiters;
bool quiescing;
byte made = 1;
bool busy[MAX];

/* For the assertions. */
byte holders[MAX], working, ended;
byte owners;
bool got_through;

#ifdef LOOP
/* Who waits for the lock gets it in turn, or weak fairness would not be enough. */
#define TICKETS 4
byte next, served;

inline drop_lock()
{
	served = (served + 1) % TICKETS
}

inline take_lock()
{
	atomic { ticket = next; next = (next + 1) % TICKETS };
	atomic { served == ticket; ticket = 0 }
}
#else
inline drop_lock()
{
	lock = false
}

inline take_lock()
{
	atomic { !lock -> lock = true }
}
#endif

/* pthread_cond_wait(): lets go of the lock and sleeps, as one */
inline wait_for_freed()
{
	atomic { drop_lock(); sleeps[_pid] = true };
	!sleeps[_pid];
	take_lock()
}

inline broadcast()
{
	d_step {
		for (n : 1 .. PROCESSES) {
			sleeps[n] = false
		};
		n = 0
	}
}

/* try_take(); taken */
inline try_take(s)
{
	if
	:: busy[s] -> taken = false
	:: else ->
#if WRONG == 7
		busy[s] = true;
		taken = true
#else
		atomic { taken = !busy[s]; busy[s] = true }
#endif
	fi
}

/* take_free(), from any stream on; taken and s are set */
inline take_free()
{
	atomic {
		seen = made;
		i = 0;
		taken = false;
		if
		:: s = 0
		:: seen > 1 -> s = 1
		fi
	};
	do
	:: i < seen && !taken ->
		try_take(s);
		atomic {
			i++;
			s = (taken -> s : (s + 1) % seen)
		}
	:: else -> break
	od;
	i = 0;
	seen = 0
}

/* stream_release(); wake() */
inline release(s)
{
#if WRONG == 1
	n = waiters;
	busy[s] = false;
#else
	busy[s] = false;
	n = waiters;
#endif
	if
	:: n ->
#if WRONG == 6
		broadcast()
#else
		take_lock();
		broadcast();
		drop_lock()
#endif
	:: else
	fi
}

/* take_slowly(); take_new() makes one more, if there is memory */
inline take_slowly()
{
	take_lock();
#if WRONG != 2
	waiters++;
#endif
	do
	:: true ->
		if
#if WRONG == 4
		:: true ->
#else
		:: !quiescing ->
#endif
			take_free();
			if
			:: !taken && made < MAX ->
				atomic { s = made; busy[s] = true; made++; taken = true }
			:: true /* no memory */
			fi
		:: quiescing
		fi;
		if
		:: taken -> break
		:: else
		fi;
#if WRONG == 2
		waiters++;
#endif
		wait_for_freed()
#if WRONG == 2
		; waiters--
#endif
	od;
#if WRONG != 2
	waiters--;
#endif
	drop_lock()
}

/* stream_take() */
inline take()
{
	take_free();
#if WRONG != 3
	if
	:: taken && quiescing -> release(s); taken = false
	:: else
	fi;
#endif
	if
	:: !taken -> take_slowly()
	:: else
	fi
}

proctype user()
{
	byte s, i, n, seen, ticket;
	bool taken;

#ifdef LOOP
	do
	:: true ->
#endif
	take();
	d_step {
		holders[s]++;
		working++;
		assert(holders[s] == 1);
		assert(!owners)
	};
	d_step { holders[s]--; working--; taken = false };
	release(s);
	s = 0
#ifdef LOOP
	od;
#endif
	;
	ended++
}

/* streams_quiesce(), streams_resume(): calls like zram_reset() */
proctype owner()
{
	byte i, n, ticket;
	bool taken;

	take_lock();
	waiters++;
#if WRONG != 8
	do
	:: quiescing -> wait_for_freed()
	:: else -> break
	od;
#endif
	quiescing = true;
	do
	:: i < made ->
		try_take(i);
		if
		:: taken -> i++
#if WRONG == 9
		:: else -> i++
#else
		:: else -> wait_for_freed()
#endif
		fi
	:: else -> break
	od;
	waiters--;
	drop_lock();

	d_step { owners++; got_through = true; assert(owners == 1 && working == 0) };
	d_step { assert(working == 0); owners-- };

	take_lock();
	i = 0;
	do
	:: i < made -> busy[i] = false; i++
	:: else -> break
	od;
	quiescing = false;
#if WRONG != 5
	broadcast();
#endif
	drop_lock();
	atomic { i = 0; taken = false; ended++ }
}

init {
	atomic {
		run user();
		run user();
		run owner();
#ifndef LOOP
		run owner();
#endif
	};
#ifndef LOOP
	ended == PROCESSES;
	d_step {
		assert(waiters == 0 && !quiescing && !lock && !busy[0]);
		assert(MAX == 1 || !busy[MAX - 1])
	}
#endif
}

#ifdef LOOP
ltl alone { <> got_through }
#endif
