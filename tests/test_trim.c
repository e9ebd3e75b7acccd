/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How pages that automatic compaction emptied go back: a few wait for each other, and go with one
 * call of the system's; until then they serve whoever needs a page. Seen from inside.
 */
#include "testing.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "core/quick.h"

/* Of some thousand pages, so that as many wait as ever do. */
enum { OBJECTS = 12000, SMALLEST = 1000, LARGEST = 3000, REPLACED = 20000 };

/* --- what the habitat is asked --- */

static struct {
	struct zs_pool *pool;
	struct zs_port_ops ops;
	const struct zs_port_ops *usual;
	unsigned calls, of_several_shards;
	uint64_t places; /* pool->places when pages were given back last */
	unsigned without_pages, unlocked;
} watch;

static struct shard *shard_of_range(uint32_t range)
{
	for (struct shard *s = zs_next_shard(watch.pool, NULL); s;
	     s = zs_next_shard(watch.pool, s)) {
		for (uint32_t index = 0; index < s->nzspages; index++) {
			if (!(*zs_table(watch.pool, s, index) & ZTAB_FREE) &&
			    zs_zspage(watch.pool, s, index)->range == range)
				return s;
		}
	}
	return NULL;
}

static void note_decommit(struct zs_port *port, const struct zs_span *spans, unsigned count)
{
	struct shard *first = NULL;
	bool several = false;

	for (unsigned i = 0; i < count; i++) {
		size_t offset = (size_t)((char *)spans[i].start - watch.pool->data_base);
		struct shard *shard = shard_of_range((uint32_t)(offset / watch.pool->range_bytes));

		several |= first && shard != first;
		first = shard;
	}
	watch.calls++;
	watch.of_several_shards += several;
	watch.places = watch.pool->places;
	watch.usual->decommit(port, spans, count);
}

static void note_range_free(struct zs_port *port, uint32_t range)
{
	bool locked = false;

	for (struct shard *s = zs_next_shard(watch.pool, NULL); s; s = zs_next_shard(watch.pool, s))
		locked |= load_relaxed(&s->lock.held);
	/* It left its shard after its pages were given back, not before. */
	if (watch.pool->places != watch.places) {
		watch.without_pages++;
		watch.unlocked += !locked;
	}
	watch.usual->range_free(port, range);
}

static void set_ops(struct zs_pool *pool, const struct zs_port_ops *ops)
{
	pool->port->ops = ops;
	pool->port_sum = zs_sum_of_port(pool->port);
}

static void open_watched(struct rig *rig, const struct zs_pool_options *options)
{
	rig_open(rig, &process_habitat, options);
	watch.pool = rig->pool;
	watch.usual = rig->pool->port->ops;
	watch.ops = *watch.usual;
	watch.ops.decommit = note_decommit;
	watch.ops.range_free = note_range_free;
	watch.calls = watch.of_several_shards = watch.without_pages = watch.unlocked = 0;
	set_ops(rig->pool, &watch.ops);
}

static void close_watched(struct rig *rig)
{
	set_ops(rig->pool, watch.usual);
	rig_close(rig);
}

/* --- what waits --- */

static size_t waiting(struct zs_pool *pool)
{
	return load_relaxed(&pool->left_pages);
}

static void replace(struct objects *objects, struct zs_pool *pool, struct rng *rng)
{
	objects_remove(objects, pool, rng_below(rng, (uint32_t)objects->count));
	assert_true(objects_add(objects, pool, rng_between(rng, SMALLEST, LARGEST)));
}

/* Replaces objects until at least so many pages wait. */
static void churn_until(struct objects *objects, struct zs_pool *pool, struct rng *rng,
			size_t pages)
{
	for (unsigned i = 0; waiting(pool) < pages; i++) {
		assert_true(i < REPLACED);
		replace(objects, pool, rng);
	}
}

/* A zspage whose pages wait, and its shard. */
static struct zspage *find_left(struct zs_pool *pool, struct shard **shard)
{
	for (*shard = zs_next_shard(pool, NULL); *shard; *shard = zs_next_shard(pool, *shard)) {
		for (uint32_t index = 0; index < (*shard)->nzspages; index++) {
			if (*zs_table(pool, *shard, index) & ZTAB_FREE)
				continue;
			struct zspage *zspage = zs_zspage(pool, *shard, index);
			if (zspage->flags & ZSPAGE_LEFT)
				return zspage;
		}
	}
	return NULL;
}

static void pages_of_several_shards_go_back_together(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(31);
	size_t most = 0;
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SMALLEST, LARGEST);
	for (unsigned i = 0; i < REPLACED; i++) {
		replace(&objects, rig.pool, &rng);
		most = waiting(rig.pool) > most ? waiting(rig.pool) : most;
		assert_true(waiting(rig.pool) <= LEFT_PAGES_MAX);
		if (i % 1000 == 0)
			assert_healthy(rig.pool);
	}
	print_message("%zu pages waited at most; %u of %u calls were for several shards\n", most,
		      watch.of_several_shards, watch.calls);
	assert_true(most > LEFT_PAGES_MAX / 2);
	assert_true(watch.of_several_shards > watch.calls / 4);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	assert_int_equal(waiting(rig.pool), 0);
	close_watched(&rig);
}

static void compaction_gives_back_what_waits_as_predicted(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(32);
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SMALLEST, LARGEST);
	for (unsigned i = 0; i < 20; i++) {
		churn_until(&objects, rig.pool, &rng, i % 8 + 1);
		uint64_t waits = waiting(rig.pool) * rig.pool->page_size;
		uint64_t predicted = zs_compactable_bytes(rig.pool);
		bool under_way = false;

		for (struct shard *s = zs_next_shard(rig.pool, NULL); s;
		     s = zs_next_shard(rig.pool, s))
			under_way |= s->pass != PASS_IDLE;
		uint64_t given = zs_compact(rig.pool);
		assert_true(given >= waits);
		/* Within a page a class while a pass is under way. */
		assert_true(under_way || given == predicted);
		assert_int_equal(waiting(rig.pool), 0);
		assert_healthy(rig.pool);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

static void what_waits_is_used_before_a_new_page(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(33);
	struct shard *shard;
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SMALLEST, LARGEST);
	for (unsigned i = 0; i < 20; i++) {
		churn_until(&objects, rig.pool, &rng, 1);
		const struct zspage *zspage = find_left(rig.pool, &shard);
		size_t pages = zs_get_total_pages(rig.pool), before = waiting(rig.pool);

		assert_non_null(zspage);
		size_t size = zspage->size - ZS_FOOTER;
		while (waiting(rig.pool) >= before) {
			assert_true(objects_add(&objects, rig.pool, size));
			assert_true(zs_get_total_pages(rig.pool) <= pages);
		}
		assert_healthy(rig.pool);
		while (objects.count > OBJECTS)
			objects_remove(&objects, rig.pool, 0);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

/* --- while others are at work --- */

static struct {
	struct objects objects;
	struct rng rng;
} others;

/* zs_compact_some() looks at the clock after each step, with no lock held. */
static uint64_t replace_and_tell_the_time(void)
{
	for (unsigned i = 0; i < 50; i++)
		replace(&others.objects, watch.pool, &others.rng);
	return watch.usual->now();
}

static void nothing_waits_after_a_compaction(void **state)
{
	const struct zs_compact_budget budget = { .nanoseconds = UINT64_MAX / 2 };
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	others.rng = rng_seeded(38);
	objects_fill(&others.objects, rig.pool, &others.rng, OBJECTS, SMALLEST, LARGEST);
	churn_until(&others.objects, rig.pool, &others.rng, 1);
	watch.ops.now = replace_and_tell_the_time;
	assert_int_equal(zs_compact_some(rig.pool, &budget, NULL), 0);
	assert_int_equal(waiting(rig.pool), 0);
	assert_healthy(rig.pool);
	objects_free_all(&others.objects, rig.pool);
	close_watched(&rig);
}

/*
 * Automatic compaction ends the pass that a short call began, and leaves what there is to gain:
 * which the next call is not to begin anew.
 */
static void short_calls_get_on_between_others(void **state)
{
	enum { SIZE = 1800, FREED = 10, MOST = 500 };
	const struct zs_compact_budget budget = { .nanoseconds = 1 };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(39);
	unsigned calls = 0, left = 0;
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SIZE, SIZE);
	zs_compact(rig.pool);
	for (unsigned i = 0; i < FREED; i++)
		objects_remove(&objects, rig.pool, rng_below(&rng, (uint32_t)objects.count));
	assert_true(zs_compactable_bytes(rig.pool) > 0);
	for (; zs_compact_some(rig.pool, &budget, NULL); calls++) {
		assert_true(calls < MOST);
		objects_remove(&objects, rig.pool, objects.count - 1);
		assert_true(objects_add(&objects, rig.pool, SIZE));
		left += waiting(rig.pool) > 0;
	}
	print_message("%u calls, after %u of them pages waited\n", calls, left);
	assert_true(left > 0);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

static struct {
	pthread_t thread;
	atomic_bool waits, ended;
	zs_handle handle;
	bool started;
} late;

static void note_relax(unsigned tries)
{
	atomic_store(&late.waits, true);
	watch.usual->relax(tries);
}

static void *allocate_late(void *unused)
{
	(void)unused;
	late.handle = zs_malloc(watch.pool, LARGEST + 900);
	atomic_store(&late.ended, true);
	return NULL;
}

/* The pages go when the other thread is there, and waits, or has been refused. */
static void decommit_late(struct zs_port *port, const struct zs_span *spans, unsigned count)
{
	if (!late.started) {
		late.started = true;
		assert_int_equal(pthread_create(&late.thread, NULL, allocate_late, NULL), 0);
		while (!atomic_load(&late.waits) && !atomic_load(&late.ended))
			sched_yield();
	}
	watch.usual->decommit(port, spans, count);
}

static void an_allocation_at_the_limit_waits_for_pages_that_go(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(40);
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SMALLEST, LARGEST);
	churn_until(&objects, rig.pool, &rng, LEFT_PAGES_MAX / 2);
	watch.ops.decommit = decommit_late;
	watch.ops.relax = note_relax;
	late.started = false;
	atomic_store(&late.waits, false);
	atomic_store(&late.ended, false);
	zs_drop_kept(rig.pool);
	zs_set_limit(rig.pool, zs_get_total_size_bytes(rig.pool));
	/* There are no other pages to be had. */
	rig.pool->compaction = ZS_COMPACTION_MANUAL;
	assert_true(zs_give_left(rig.pool) > 0);
	assert_true(late.started);
	pthread_join(late.thread, NULL);
	rig.pool->compaction = ZS_COMPACTION_AUTO;
	assert_true(late.handle != 0);
	zs_free(rig.pool, late.handle);
	assert_healthy(rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

/* Whether an object lies in a zspage. */
static bool lies_in(struct zs_pool *pool, const struct object *object, const struct zspage *zspage)
{
	const char *address = zs_map_object(pool, object->handle, ZS_MM_RO);
	size_t range = (size_t)(address - pool->data_base) / pool->range_bytes;

	zs_unmap_object(pool, object->handle);
	return range == zspage->range;
}

static void a_zspage_that_becomes_empty_waits_no_longer(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(34);
	struct shard *shard;
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, SMALLEST, LARGEST);
	churn_until(&objects, rig.pool, &rng, 1);
	const struct zspage *zspage = find_left(rig.pool, &shard);
	size_t before = waiting(rig.pool);
	assert_non_null(zspage);
	/* No pass over its shard may come between. */
	shard->trigger_bytes = UINT64_MAX;
	for (size_t i = objects.count; i-- > 0;) {
		bool last = zspage->inuse == 1;

		if (!lies_in(rig.pool, &objects.at[i], zspage))
			continue;
		objects_remove(&objects, rig.pool, i);
		shard->trigger_bytes = UINT64_MAX;
		if (last)
			break;
	}
	assert_true(waiting(rig.pool) < before);
	assert_healthy(rig.pool);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

static void note_not_empty(const char *what, void *seen)
{
	if (strstr(what, "waits to be given back, and is not empty there"))
		*(bool *)seen = true;
}

/* With mapped objects all over the pool many a source is not emptied; zs_check() would see it. */
static void what_holds_a_mapped_object_does_not_wait(void **state)
{
	enum { MAPPED = 300 };
	struct objects objects = { 0 }, mapped = { 0 };
	struct rng rng = rng_seeded(37);
	struct shard *shard;
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	for (unsigned i = 0; i < MAPPED; i++) {
		objects_fill(&objects, rig.pool, &rng, OBJECTS / MAPPED, SMALLEST, LARGEST);
		objects_fill(&mapped, rig.pool, &rng, 1, SMALLEST, LARGEST);
		assert_non_null(zs_map_object(rig.pool, mapped.at[i].handle, ZS_MM_RO));
	}
	for (unsigned i = 0; i < REPLACED; i++) {
		replace(&objects, rig.pool, &rng);
		if (i % 200 == 0)
			assert_healthy(rig.pool);
	}
	churn_until(&objects, rig.pool, &rng, 1);
	struct zspage *zspage = find_left(rig.pool, &shard);
	assert_non_null(zspage);
	uint16_t limit = zspage->limit;
	bool seen = false;
	zspage->limit = 0;
	zs_check(rig.pool, note_not_empty, &seen);
	assert_true(seen);
	zspage->limit = limit;
	for (unsigned i = 0; i < MAPPED; i++)
		zs_unmap_object(rig.pool, mapped.at[i].handle);
	assert_objects_intact(&mapped, rig.pool);
	objects_free_all(&mapped, rig.pool);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

/* Nor where pages go back without the system. */
static void few_pages_do_not_wait(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(35);
	size_t count = habitat->fixed ? 1000 : 200;
	struct zs_pool_stats stats;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, count, SMALLEST, LARGEST);
	for (unsigned i = 0; i < REPLACED; i++) {
		replace(&objects, rig.pool, &rng);
		assert_int_equal(waiting(rig.pool), 0);
	}
	zs_pool_stats(rig.pool, &stats);
	assert_true(stats.compacted_pages > 0);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/*
 * Automatic compaction takes the page of an empty zspage that was kept, and then the rest. A fork
 * between the two would have to wait, and no count of pages would say so.
 */
static void a_zspage_without_pages_leaves_and_goes_under_one_lock(void **state)
{
	enum { LARGE = 2000, SMALL = 1800, COUNT = 600 };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(36);
	struct rig rig;

	(void)state;
	open_watched(&rig, NULL);
	objects_fill(&objects, rig.pool, &rng, COUNT, SMALL, SMALL);
	assert_true(objects_add(&objects, rig.pool, LARGE));
	objects_remove(&objects, rig.pool, COUNT);
	objects_free_random(&objects, rig.pool, &rng, 50);
	assert_true(watch.without_pages > 0);
	assert_int_equal(watch.unlocked, 0);
	objects_free_all(&objects, rig.pool);
	close_watched(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_of_several_shards_go_back_together),
		cmocka_unit_test(compaction_gives_back_what_waits_as_predicted),
		cmocka_unit_test(what_waits_is_used_before_a_new_page),
		cmocka_unit_test(nothing_waits_after_a_compaction),
		cmocka_unit_test(short_calls_get_on_between_others),
		cmocka_unit_test(an_allocation_at_the_limit_waits_for_pages_that_go),
		cmocka_unit_test(a_zspage_that_becomes_empty_waits_no_longer),
		cmocka_unit_test(what_holds_a_mapped_object_does_not_wait),
		IN_BOTH_HABITATS(few_pages_do_not_wait),
		cmocka_unit_test(a_zspage_without_pages_leaves_and_goes_under_one_lock),
	};

	return cmocka_run_group_tests_name("trim", tests, NULL, NULL);
}
