/* Preloaded into the host: counts live bytes by the library that asked for them, which is that of
 * the caller's address, and by when they were asked for. SIGUSR1 is a mark: what is live is
 * appended to the file LEAK_OUT, and a new age begins. glibc on Linux only.
 *
 * A line of the file: the mark's number, the age, the bytes, the library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);

#define MAGIC 0x4c45414b
#define OWNERS 256
#define RANGES 1024
#define AGES 8

struct head {
    void *raw;
    size_t size;
    uint16_t owner, age;
    uint32_t magic;
    size_t pad;
};
_Static_assert(sizeof(struct head) == 32, "keeps the alignment of malloc");

static _Atomic int64_t live[OWNERS][AGES];
static char names[OWNERS][256];
static struct { uintptr_t from, to; uint16_t owner; } ranges[RANGES];
/* Owner 0: nobody that is known. */
static _Atomic unsigned owners = 1, ranges_known;
static _Atomic unsigned age;
static int out = -1;

/* The loader calls this under its lock, so that only one adds to the tables. */
static int add(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    unsigned known = atomic_load(&ranges_known), owner = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        uintptr_t from = info->dlpi_addr + part->p_vaddr;
        int old = 0;
        for (unsigned r = 0; r < known; r++)
            old |= ranges[r].from == from;
        if (old || known == RANGES)
            continue;
        if (!owner) {
            owner = atomic_load(&owners);
            if (owner == OWNERS)
                return 0;
            const char *name = info->dlpi_name[0] ? info->dlpi_name : "host";
            strncpy(names[owner], name, sizeof names[owner] - 1);
            atomic_store(&owners, owner + 1);
        }
        ranges[known].from = from;
        ranges[known].to = from + part->p_memsz;
        ranges[known].owner = (uint16_t)owner;
        atomic_store(&ranges_known, ++known);
    }
    return 0;
}

static uint16_t find(uintptr_t address) {
    unsigned known = atomic_load_explicit(&ranges_known, memory_order_acquire);
    for (unsigned r = 0; r < known; r++)
        if (address >= ranges[r].from && address < ranges[r].to)
            return ranges[r].owner;
    return 0;
}

static uint16_t owner_of(void *caller) {
    uint16_t owner = find((uintptr_t)caller);
    if (!owner) {
        dl_iterate_phdr(add, NULL);
        owner = find((uintptr_t)caller);
    }
    return owner;
}

static void *give(size_t size, size_t align, void *caller) {
    if (size > PTRDIFF_MAX - 2 * sizeof(struct head) - align) {
        errno = ENOMEM;
        return NULL;
    }
    size_t extra = align > 16 ? align : 0;
    char *raw = __libc_malloc(size + sizeof(struct head) + extra);
    if (!raw)
        return NULL;
    uintptr_t at = (uintptr_t)raw + sizeof(struct head);
    if (extra)
        at = (at + align - 1) & ~(uintptr_t)(align - 1);
    struct head *head = (struct head *)at - 1;
    head->raw = raw;
    head->size = size;
    head->owner = owner_of(caller);
    head->age = (uint16_t)atomic_load_explicit(&age, memory_order_relaxed);
    head->magic = MAGIC;
    atomic_fetch_add_explicit(&live[head->owner][head->age], (int64_t)size, memory_order_relaxed);
    return (void *)at;
}

static struct head *head_of(void *p) {
    struct head *head = (struct head *)p - 1;
    /* What the loader took before this library was there has no head; it is never given back. */
    return head->magic == MAGIC ? head : NULL;
}

static void take(void *p) {
    struct head *head = p ? head_of(p) : NULL;
    if (!head)
        return;
    head->magic = 0;
    atomic_fetch_sub_explicit(&live[head->owner][head->age], (int64_t)head->size, memory_order_relaxed);
    __libc_free(head->raw);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) { return give(size, 0, CALLER); }

void free(void *p) {
    int kept = errno;
    take(p);
    errno = kept;
}

void *calloc(size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = give(size, 0, CALLER);
    return p ? memset(p, 0, size) : NULL;
}

static void *again(void *old, size_t size, void *caller) {
    void *p = give(size, 0, caller);
    struct head *head = old ? head_of(old) : NULL;
    if (p && head) {
        memcpy(p, old, head->size < size ? head->size : size);
        take(old);
    }
    return p;
}

void *realloc(void *old, size_t size) { return again(old, size, CALLER); }

void *reallocarray(void *old, size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return again(old, size, CALLER);
}

int posix_memalign(void **p, size_t align, size_t size) {
    void *given = give(size, align, CALLER);
    if (!given)
        return ENOMEM;
    *p = given;
    return 0;
}

void *aligned_alloc(size_t align, size_t size) { return give(size, align, CALLER); }
void *memalign(size_t align, size_t size) { return give(size, align, CALLER); }
void *valloc(size_t size) { return give(size, 4096, CALLER); }

size_t malloc_usable_size(void *p) {
    struct head *head = p ? head_of(p) : NULL;
    return head ? head->size : 0;
}

static void mark(int signal) {
    (void)signal;
    unsigned now = atomic_fetch_add(&age, 1), known = atomic_load(&owners);
    for (unsigned owner = 0; owner < known; owner++)
        for (unsigned old = 0; old <= now && old < AGES; old++) {
            char line[400];
            const char *name = owner ? names[owner] : "nobody";
            int length = snprintf(line, sizeof line, "%u %u %lld %s\n", now, old,
                                  (long long)atomic_load(&live[owner][old]), name);
            if (write(out, line, (size_t)length) != length)
                abort();
        }
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LEAK_OUT");
    if (!path)
        return;
    out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0)
        abort();
    struct sigaction action = {.sa_handler = mark, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    unsetenv("LD_PRELOAD");
}
