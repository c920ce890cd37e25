/*
 * Which requirements have led to which wheels, for some minutes: whoever asks for the same in the
 * same surroundings gets the same wheels from the cache, and pip need not run. Longer would be
 * wrong: the index may have newer ones.
 */

#include <errno.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "pool/install_internal.h"

#define REMEMBERED_MAX 128
#define REMEMBERED_NS  (600 * NS_PER_S)

typedef struct Remembered {
        Buffer key; /* empty: the place is free */
        uint64_t until_ns;
        CachedWheel *wheels; /* sha256, name, version of each */
        size_t n_wheels;
} Remembered;

struct Memory {
        Remembered of[REMEMBERED_MAX];
};

static void forget(Remembered *remembered) {
        buffer_done(&remembered->key);
        free(remembered->wheels);
        *remembered = (Remembered){0};
}

int memory_new(Memory **ret_memory) {
        *ret_memory = calloc(1, sizeof(**ret_memory));
        return *ret_memory ? 0 : raise_error(-ENOMEM, "make a memory of installations");
}

Memory *memory_free(Memory *memory) {
        for (size_t i = 0; memory && i < REMEMBERED_MAX; i++)
                forget(&memory->of[i]);
        free(memory);
        return NULL;
}

static int add(Buffer *key, const char *text) {
        return buffer_append(key, text, strlen(text) + 1);
}

static int add_packages(Buffer *key, const PackageList *list) {
        int r = 0;

        for (size_t i = 0; i < list->n && r == 0; i++) {
                r = add(key, list->of[i].name);
                if (r == 0)
                        r = add(key, list->of[i].version);
        }
        return r == 0 ? add(key, "") : r;
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int add_requirements(Install *install) {
        const char *texts[REQUIREMENTS_MAX];
        int r = 0;

        for (size_t i = 0; i < install->n_requirements; i++)
                texts[i] = (const char *) install->requirements[i].text.data;
        qsort(texts, install->n_requirements, sizeof(texts[0]), by_text);
        for (size_t i = 0; i < install->n_requirements && r == 0; i++)
                r = add(&install->key, texts[i]);
        return r == 0 ? add(&install->key, "") : r;
}

/* The index is the same for all. A key that is too long is not worth remembering. */
void memory_make_key(Install *install) {
        int r = buffer_append(&install->key, &install->template, sizeof(install->template));

        if (r == 0)
                r = add_requirements(install);
        if (r == 0)
                r = add_packages(&install->key, &install->in_session);
        if (r == 0)
                r = add_packages(&install->key, &install->in_template);
        if (r < 0)
                buffer_done(&install->key);
}

static Remembered *find(Memory *memory, const Buffer *key) {
        uint64_t now_ns = clock_now_ns();

        for (size_t i = 0; i < REMEMBERED_MAX; i++) {
                Remembered *remembered = &memory->of[i];

                if (remembered->key.size > 0 && remembered->until_ns <= now_ns)
                        forget(remembered);
                if (remembered->key.size > 0 && remembered->key.size == key->size &&
                    memcmp(remembered->key.data, key->data, key->size) == 0)
                        return remembered;
        }
        return NULL;
}

bool memory_recall(Memory *memory, WheelCache *cache, Install *install) {
        Remembered *remembered = install->key.size > 0 ? find(memory, &install->key) : NULL;
        InstallWheel *wheels;

        for (size_t i = 0; remembered && i < remembered->n_wheels; i++) {
                if (!wheel_cache_find(cache, remembered->wheels[i].sha256))
                        return false;
        }
        wheels = remembered ? calloc(remembered->n_wheels, sizeof(*wheels)) : NULL;
        if (!wheels)
                return false;
        for (size_t i = 0; i < remembered->n_wheels; i++) {
                wheels[i] = (InstallWheel){
                        .about = remembered->wheels[i],
                        .cached = wheel_cache_find(cache, remembered->wheels[i].sha256),
                        .was_cached = true,
                };
                wheel_cache_pin(wheels[i].cached);
        }
        install->wheels = wheels;
        install->n_wheels = remembered->n_wheels;
        return true;
}

/* A free place, or that of what ends first. */
static Remembered *choose(Memory *memory) {
        Remembered *chosen = &memory->of[0];

        for (size_t i = 0; i < REMEMBERED_MAX; i++) {
                if (memory->of[i].until_ns < chosen->until_ns)
                        chosen = &memory->of[i];
        }
        forget(chosen);
        return chosen;
}

void memory_keep(Memory *memory, const Install *install) {
        Remembered *remembered;

        if (install->key.size == 0 || install->n_wheels == 0 || find(memory, &install->key))
                return;
        remembered = choose(memory);
        remembered->wheels = calloc(install->n_wheels, sizeof(*remembered->wheels));
        if (!remembered->wheels ||
            buffer_append(&remembered->key, install->key.data, install->key.size) < 0) {
                forget(remembered);
                return;
        }
        for (size_t i = 0; i < install->n_wheels; i++)
                remembered->wheels[i] = install->wheels[i].about;
        remembered->n_wheels = install->n_wheels;
        remembered->until_ns = clock_now_ns() + REMEMBERED_NS;
}
