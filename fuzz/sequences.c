/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Long random sequences of calls, thousands of steps in one pool or store, for the
 * interpreters of sequences.h. Each sequence runs in a process of its own. One that fails,
 * be it by a crash or without end, is made as short as possible and written as an input
 * for the fuzzer of the same interpreter, whose replay (replay.c) then has it for good.
 *
 * Usage: sequences [--operations N] [--seconds N] [--seed N] [--keep DIRECTORY] [--map FILE]
 *        sequences --self-test
 * Goes on until there were so many calls, or, with --seconds, until the time is over. --keep:
 * where a failing sequence is put. --map: each function that this linker's map exports must
 * have been called. --self-test: faults that are none are found and reduced.
 */
#define _GNU_SOURCE
#include "sequences.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rng.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* The whole is for the build that users make; a tenth for each of the others. */
#if defined(SANITIZED) || defined(__clang__) || (defined(ZS_DEBUG) && ZS_DEBUG) || \
	UINTPTR_MAX <= UINT32_MAX
#define SHARE 10
#else
#define SHARE 1
#endif

enum {
	BYTES = 2 << 20, /* of a sequence */
	STEPS = 3000,    /* in a sequence, at most */
	LEAST_STEPS = 200,
	ROOM = 512,           /* bytes, more than any step takes */
	PHASE = 400,          /* steps */
	KINDS = 64,           /* of steps, at most */
	PATIENCE = 4 * 60,    /* quarters of a second for a step to end */
	MOST_RUNS = 2000,     /* to reduce a sequence */
	SHOWN = 50,           /* steps of a failing sequence */
	LESS_PATIENCE = 4 * 2 /* while a sequence without end is reduced */
};

/* How a run ended. */
enum ending { FINE, NOT_TRUE, BY_SIGNAL, BY_EXIT, WITHOUT_END };

struct verdict {
	enum ending ending;
	int code; /* line, signal, exit status */
};

struct sequence {
	size_t size;
	size_t steps;
	uint32_t ends[STEPS + 1]; /* of the opening, then of each step */
	uint8_t bytes[BYTES];
};

/* What the child does, as its parent sees it whatever happens to the child. */
struct shared {
	struct sequence sequence;
	struct input input; /* of sequence.bytes */
	volatile unsigned long progress;
	int line; /* of what was not true */
	char message[400];
	unsigned long counts[256];
};

static struct shared *shared;

static uint64_t seed; /* 0: 1, or, with --seconds, the time */
static const char *keep_in = ".";

/* --- in the child ----------------------------------------------------------- */

_Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
	if (shared) {
		shared->line = line;
		snprintf(shared->message, sizeof(shared->message), "%s:%d: not true: %s", file,
			 line, what);
	} else {
		fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	}
	abort();
}

/* For the self test: three kinds of steps, one after the other, are taken for a fault. */
static struct {
	enum ending ending; /* FINE: there is none */
	size_t kinds[3];
	size_t seen;
} planted;

static void look_for_planted(size_t kind)
{
	if (planted.ending == FINE || kind != planted.kinds[planted.seen])
		return;
	if (++planted.seen < COUNT_OF(planted.kinds))
		return;
	switch (planted.ending) {
	case NOT_TRUE:
		fuzz_fail("planted", 1, "planted");
	case BY_SIGNAL:
		kill(getpid(), SIGKILL);
		break;
	default:
		for (;;)
			pause();
	}
}

/* A record, of the opening or a step, ends where the next one begins. */
static void end_record(size_t number)
{
	struct sequence *sequence = &shared->sequence;

	sequence->ends[number] = (uint32_t)(shared->input.at - sequence->bytes);
	sequence->steps = number;
	shared->progress++;
}

static void take_step(void)
{
	size_t kind = *shared->input.at % sequence_step_count;

	sequence_take(&shared->input);
	end_record(shared->sequence.steps + 1);
	look_for_planted(kind);
}

/* So much that a step, or the opening, can take what it likes. */
static void offer(struct rng *rng, size_t from)
{
	uint8_t *bytes = shared->sequence.bytes + from;

	for (size_t i = 0; i < ROOM; i += sizeof(uint64_t)) {
		uint64_t word = rng_next(rng);

		memcpy(bytes + i, &word, sizeof(word));
	}
	shared->input = (struct input){ bytes, ROOM };
}

/*
 * For some hundred steps a few kinds prevail and others do not occur, so that there are
 * long times of growth, of decline, of nothing but reading, and what they lead to.
 */
static void choose_weights(struct rng *rng, unsigned *weights)
{
	static const unsigned some[] = { 0, 0, 1, 2, 4, 16 };

	memset(weights, 0, KINDS * sizeof(*weights));
	for (size_t i = 0; i < sequence_step_count; i++) {
		weights[i] = some[rng_below(rng, COUNT_OF(some))];
		if (!sequence_steps[i].rare)
			weights[i] *= 32;
	}
	weights[rng_below(rng, (uint32_t)sequence_step_count)] += 1;
}

static uint8_t choose_kind(struct rng *rng, const unsigned *weights)
{
	uint32_t sum = 0, chosen;
	uint8_t kind = 0;

	for (size_t i = 0; i < KINDS; i++)
		sum += weights[i];
	for (chosen = rng_below(rng, sum); chosen >= weights[kind]; kind++)
		chosen -= weights[kind];
	return kind;
}

static void close_sequence(void)
{
	shared->input.left = 0;
	sequence_close();
	shared->progress++;
}

static void make_sequence(uint64_t number)
{
	struct rng rng = rng_seeded(number);
	unsigned weights[KINDS] = { 0 }, dear;
	struct sequence *sequence = &shared->sequence;

	offer(&rng, 0);
	dear = sequence_open(&shared->input);
	if (!dear) /* refused, as it should be */
		return;
	end_record(0);
	size_t steps = rng_between(&rng, LEAST_STEPS, rng_between(&rng, LEAST_STEPS, STEPS));
	steps = steps / dear + LEAST_STEPS / 10;
	for (size_t i = 0; i < steps && sequence->ends[i] < BYTES - ROOM; i++) {
		if (i % PHASE == 0)
			choose_weights(&rng, weights);
		offer(&rng, sequence->ends[i]);
		sequence->bytes[sequence->ends[i]] = choose_kind(&rng, weights);
		take_step();
	}
	close_sequence();
}

/* What is in the sequence's bytes. */
static void repeat_sequence(void)
{
	struct sequence *sequence = &shared->sequence;

	shared->input = (struct input){ sequence->bytes, sequence->size };
	if (!sequence_open(&shared->input))
		return;
	end_record(0);
	while (shared->input.left && sequence->steps < STEPS)
		take_step();
	close_sequence();
}

static _Noreturn void be_child(const uint64_t *number, bool quiet)
{
	struct rlimit none = { 0, 0 };
	sigset_t all;

	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setrlimit(RLIMIT_CORE, &none);
	if (quiet)
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	for (size_t i = 0; i < sequence_count_count; i++)
		sequence_counts[i].count = 0;
	if (number)
		make_sequence(*number);
	else
		repeat_sequence();
	for (size_t i = 0; i < sequence_count_count; i++)
		shared->counts[i] += sequence_counts[i].count;
	exit(0);
}

/* --- runs ------------------------------------------------------------------- */

/* Whether the child ended, with its status, before it had made no progress for so long. */
static bool wait_for(pid_t child, unsigned patience, int *status)
{
	const struct timespec quarter = { 0, 250000000 };
	unsigned long progress = shared->progress;
	unsigned waited = 0;
	sigset_t ended;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	while (waitpid(child, status, WNOHANG) == 0) {
		if (sigtimedwait(&ended, NULL, &quarter) == SIGCHLD)
			continue;
		waited = progress == shared->progress ? waited + 1 : 0;
		progress = shared->progress;
		if (waited > patience) {
			kill(child, SIGKILL);
			waitpid(child, status, 0);
			return false;
		}
	}
	return true;
}

/* A new sequence of that number, or, without one, that which is in the sequence's bytes. */
static struct verdict run(const uint64_t *number, unsigned patience, bool quiet)
{
	struct verdict verdict = { FINE, 0 };
	int status = 0;
	pid_t child;

	shared->line = 0;
	shared->message[0] = '\0';
	shared->sequence.steps = 0;
	shared->sequence.ends[0] = 0;
	shared->input = (struct input){ shared->sequence.bytes, 0 };
	fflush(stdout);
	child = fork();
	if (child == 0)
		be_child(number, quiet);
	if (child < 0) {
		perror("fork");
		exit(1);
	}
	if (!wait_for(child, patience, &status))
		verdict = (struct verdict){ WITHOUT_END, 0 };
	else if (shared->line)
		verdict = (struct verdict){ NOT_TRUE, shared->line };
	else if (WIFSIGNALED(status))
		verdict = (struct verdict){ BY_SIGNAL, WTERMSIG(status) };
	else if (WEXITSTATUS(status))
		verdict = (struct verdict){ BY_EXIT, WEXITSTATUS(status) };
	/* The step that it was in belongs to it. */
	shared->sequence.size = (size_t)(shared->input.at - shared->sequence.bytes);
	if (shared->sequence.size > shared->sequence.ends[shared->sequence.steps])
		shared->sequence.ends[++shared->sequence.steps] = (uint32_t)shared->sequence.size;
	return verdict;
}

/* --- making it shorter ------------------------------------------------------ */

struct reduction {
	struct sequence best;
	struct verdict wanted;
	unsigned patience;
	unsigned long tried, most; /* runs */
};

static bool is_same(struct verdict one, struct verdict other)
{
	return one.ending == other.ending && one.code == other.code;
}

static void take_over(struct sequence *to, const struct sequence *from)
{
	to->size = from->size;
	to->steps = from->steps;
	memcpy(to->ends, from->ends, (from->steps + 1) * sizeof(from->ends[0]));
	memcpy(to->bytes, from->bytes, from->size);
}

/* What was put into the sequence's bytes is the best now if it fails in the same way. */
static bool adopt(struct reduction *reduction)
{
	const struct sequence *new = &shared->sequence;
	struct verdict verdict;

	if (reduction->tried == reduction->most)
		return false;
	reduction->tried++;
	verdict = run(NULL, reduction->patience, true);
	if (!is_same(verdict, reduction->wanted))
		return false;
	if (new->steps > reduction->best.steps || new->size > reduction->best.size)
		return false;
	take_over(&reduction->best, new);
	return true;
}

static bool fails_without(struct reduction *reduction, size_t first, size_t count)
{
	const struct sequence *best = &reduction->best;
	size_t from = best->ends[first], to = best->ends[first + count];

	memcpy(shared->sequence.bytes, best->bytes, from);
	memcpy(shared->sequence.bytes + from, best->bytes + to, best->size - to);
	shared->sequence.size = best->size - (to - from);
	return adopt(reduction);
}

/* All pieces of so many steps, from the end. Returns whether it got shorter. */
static bool leave_out(struct reduction *reduction, size_t piece)
{
	bool shorter = false;

	for (size_t end = reduction->best.steps; end;) {
		size_t count = piece < end ? piece : end;

		end -= count;
		shorter = fails_without(reduction, end, count) || shorter;
		if (end > reduction->best.steps)
			end = reduction->best.steps;
	}
	return shorter;
}

static void leave_out_steps(struct reduction *reduction)
{
	for (size_t piece = reduction->best.steps; piece > 1; piece /= 2)
		leave_out(reduction, piece);
	while (leave_out(reduction, 1))
		;
}

static bool fails_with_zeros(struct reduction *reduction, size_t from, size_t to)
{
	const struct sequence *best = &reduction->best;
	bool zeros = true;

	for (size_t i = from; i < to; i++)
		zeros = zeros && best->bytes[i] == 0;
	if (zeros)
		return false;
	memcpy(shared->sequence.bytes, best->bytes, best->size);
	memset(shared->sequence.bytes + from, 0, to - from);
	shared->sequence.size = best->size;
	return adopt(reduction);
}

/* In halves, quarters, ... as far as they are not zeros and are needed. */
static void zero_range(struct reduction *reduction, size_t from, size_t to)
{
	size_t middle = from + (to - from) / 2;

	if (from >= to || to > reduction->best.size || fails_with_zeros(reduction, from, to) ||
	    middle == from)
		return;
	zero_range(reduction, from, middle);
	zero_range(reduction, middle, to);
}

/* Zeros for numbers that do not matter. A step's first byte says what it is. */
static void simplify(struct reduction *reduction)
{
	const struct sequence *best = &reduction->best;

	for (size_t step = 0; step <= best->steps; step++)
		zero_range(reduction, step ? best->ends[step - 1] + 1 : 0, best->ends[step]);
}

static struct verdict run_best(const struct reduction *reduction, unsigned patience)
{
	take_over(&shared->sequence, &reduction->best);
	return run(NULL, patience, true);
}

/*
 * What the last run was, as short as it gets. A machine that stood still may look like a
 * sequence without end: then the result does not fail, and all is done again with more patience.
 */
static struct reduction *reduce(struct verdict wanted, unsigned patience)
{
	struct reduction *reduction = malloc(sizeof(*reduction));
	struct sequence *whole = malloc(sizeof(*whole));

	if (!reduction || !whole) {
		perror("malloc");
		exit(1);
	}
	take_over(whole, &shared->sequence);
	*reduction = (struct reduction){ .wanted = wanted, .patience = patience };
	do {
		/* One that does not end takes seconds. */
		reduction->most = reduction->tried +
				  (wanted.ending == WITHOUT_END ? MOST_RUNS / 10 : MOST_RUNS);
		take_over(&reduction->best, whole);
		leave_out_steps(reduction);
		simplify(reduction);
		leave_out_steps(reduction);
		reduction->patience *= 8;
	} while (!is_same(run_best(reduction, reduction->patience), wanted) &&
		 reduction->patience < PATIENCE);
	free(whole);
	return reduction;
}

/* --- what is said about it --------------------------------------------------- */

static void print_verdict(struct verdict verdict)
{
	switch (verdict.ending) {
	case FINE:
		puts("nothing wrong");
		break;
	case NOT_TRUE:
		puts(shared->message);
		break;
	case BY_SIGNAL:
		printf("ended by signal %d (%s)\n", verdict.code, strsignal(verdict.code));
		break;
	case BY_EXIT:
		printf("ended with status %d\n", verdict.code);
		break;
	case WITHOUT_END:
		puts("a step does not end");
		break;
	}
}

static void print_record(const char *name, const uint8_t *bytes, size_t size)
{
	printf("  %s", name);
	for (size_t i = 0; i < size && i < 40; i++)
		printf(" %02x", bytes[i]);
	puts(size > 40 ? " ..." : "");
}

static void print_sequence(const struct sequence *sequence)
{
	print_record("open", sequence->bytes, sequence->ends[0]);
	for (size_t i = 0; i < sequence->steps && i < SHOWN; i++) {
		const uint8_t *record = sequence->bytes + sequence->ends[i];

		print_record(sequence_steps[record[0] % sequence_step_count].name, record + 1,
			     sequence->ends[i + 1] - sequence->ends[i] - 1);
	}
}

static bool write_file(const char *path, const struct sequence *sequence)
{
	FILE *file = fopen(path, "wb");
	bool fine = file && fwrite(sequence->bytes, 1, sequence->size, file) == sequence->size;

	if (file)
		fine = fclose(file) == 0 && fine;
	return fine;
}

static void keep(const struct sequence *sequence, uint64_t number)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/sequence-%016" PRIx64, keep_in, number);
	if (!write_file(path, sequence)) {
		perror(path);
		snprintf(path, sizeof(path), "sequence-%016" PRIx64, number);
		if (!write_file(path, sequence)) {
			perror(path);
			return;
		}
	}
	printf("kept as %s: the fuzzer runs it alone, and its replay with the others\n", path);
}

static void report(struct verdict verdict, uint64_t number)
{
	size_t steps = shared->sequence.steps;
	struct reduction *reduction;

	printf("FAILED after %zu steps: ", steps);
	print_verdict(verdict);
	fflush(stdout);
	reduction = reduce(verdict, LESS_PATIENCE);
	printf("reduced to %zu steps in %lu runs%s:\n", reduction->best.steps, reduction->tried,
	       is_same(run_best(reduction, reduction->patience), verdict)
		       ? ""
		       : ", but does not fail again");
	print_sequence(&reduction->best);
	keep(&reduction->best, number);
	free(reduction);
}

/* --- many sequences ----------------------------------------------------------- */

static unsigned long calls_done(void)
{
	for (size_t i = 0; i < sequence_count_count; i++)
		sequence_counts[i].count = shared->counts[i];
	return sequence_calls();
}

static bool print_counts(void)
{
	bool all = true;

	for (size_t i = 0; i < sequence_count_count; i++) {
		printf("%12lu %s\n", sequence_counts[i].count, sequence_counts[i].name);
		all = all && sequence_counts[i].count;
	}
	if (!all)
		puts("FAILED: something never happened");
	return all;
}

static bool was_called(const char *function)
{
	for (size_t i = 0; i < sequence_count_count; i++) {
		if (strcmp(sequence_counts[i].name, function) == 0)
			return sequence_counts[i].count != 0;
	}
	return false;
}

/* Each line "name;" of the map is a function. */
static bool all_were_called(const char *map)
{
	FILE *file = fopen(map, "r");
	size_t found = 0, called = 0;
	char line[256], name[64];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %63[a-z_]%*1[;]", name) != 1 || !strchr(line, ';'))
			continue;
		found++;
		if (was_called(name))
			called++;
		else
			printf("FAILED: %s was never called\n", name);
	}
	if (file)
		fclose(file);
	printf("%zu of the %zu functions of %s were called\n", called, found, map);
	return found && called == found;
}

static int run_many(unsigned long operations, unsigned long seconds, const char *map)
{
	time_t now = time(NULL), end = now + (time_t)seconds;
	unsigned long sequences = 0;

	if (!seed)
		seed = seconds ? (uint64_t)now : 1;
	printf("seed %" PRIu64 "\n", seed);
	while (seconds ? time(NULL) < end : calls_done() < operations) {
		uint64_t number = rng_mix(seed + sequences++);
		struct verdict verdict = run(&number, PATIENCE, false);

		if (verdict.ending != FINE) {
			report(verdict, number);
			return 1;
		}
	}
	printf("%lu operations in %lu sequences, seed %" PRIu64 "\n", calls_done(), sequences,
	       seed);
	bool fine = print_counts();

	return (!map || all_were_called(map)) && fine ? 0 : 1;
}

/* --- the self test ------------------------------------------------------------ */

/* One that is neither too short nor, for the test without end, too long. */
static uint64_t choose_sequence(void)
{
	uint64_t number = seed;
	struct verdict verdict;

	planted.ending = NOT_TRUE;
	do {
		number++;
		verdict = run(&number, PATIENCE, true);
	} while (verdict.ending != NOT_TRUE || shared->sequence.steps < 50 ||
		 shared->sequence.steps > 200);
	return number;
}

/* A sequence in which a fault is found that is none, and what is left of it. */
static bool reduces(uint64_t number, enum ending ending)
{
	static const char *const names[] = { "", "not true", "signal", "", "without end" };

	planted.ending = ending;
	struct verdict verdict = run(&number, LESS_PATIENCE, true);
	size_t steps = shared->sequence.steps;
	struct reduction *reduction = reduce(verdict, 1);
	const struct sequence *best = &reduction->best;
	bool fine = verdict.ending == ending && best->steps == COUNT_OF(planted.kinds);

	for (size_t i = 0; fine && i < best->steps; i++)
		fine = best->bytes[best->ends[i]] % sequence_step_count == planted.kinds[i];
	printf("%s: %zu steps, reduced to %zu in %lu runs\n", names[ending], steps, best->steps,
	       reduction->tried);
	/* Without the planted fault nothing is wrong with it. */
	planted.ending = FINE;
	fine = run_best(reduction, PATIENCE).ending == FINE && fine;
	free(reduction);
	return fine;
}

static int self_test(void)
{
	uint64_t number;
	bool fine;

	planted.kinds[0] = 3;
	planted.kinds[1] = 12;
	planted.kinds[2] = 5;
	number = choose_sequence();
	fine = reduces(number, NOT_TRUE);
	fine = reduces(number, BY_SIGNAL) && fine;
	fine = reduces(number, WITHOUT_END) && fine;
	puts(fine ? "all reduced to three steps" : "FAILED: not reduced as it should be");
	return fine ? 0 : 1;
}

static void set_up(void)
{
	sigset_t ended;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || sequence_step_count > KINDS ||
	    sequence_count_count > COUNT_OF(shared->counts)) {
		perror("sequences");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	unsigned long operations = sequence_operations / SHARE, seconds = 0;
	const char *map = NULL;

	set_up();
	sequence_prepare();
	if (argc == 2 && strcmp(argv[1], "--self-test") == 0)
		return self_test();
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--operations") == 0)
			operations = strtoul(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seconds") == 0)
			seconds = strtoul(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--keep") == 0)
			keep_in = argv[i + 1];
		else if (strcmp(argv[i], "--map") == 0)
			map = argv[i + 1];
	}
	return run_many(operations, seconds, map);
}
