/* Preloaded into the host: lets the n-th call that changes files under a folder fail, or ends the
 * process there. The calls are caught by seccomp, not by their names in libc, so those that a
 * library makes by itself count too. x86-64 Linux only.
 *
 * FAULT_FOLDER  the folder
 * FAULT_COUNT   a file of 8 bytes, mapped and counted up
 * FAULT_AT      which call fails, 0 for none
 * FAULT_HOW     "error:N" (errno N), "kill" (before the call), "late" (behind it) or "torn" (a
 *               write writes half and the process ends)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define NONE (-1)

static const int CAUGHT[] = {
    SYS_write, SYS_pwrite64, SYS_writev, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_truncate,
    SYS_fallocate, SYS_rename, SYS_renameat, SYS_renameat2, SYS_link, SYS_linkat, SYS_unlink,
    SYS_unlinkat, SYS_open, SYS_openat, SYS_creat, SYS_mkdir, SYS_mkdirat,
};
#define COUNT (sizeof CAUGHT / sizeof *CAUGHT)

static char folder[4096];
static size_t folder_len;
static uint64_t *calls, fault_at;
static enum { ERROR, KILL, LATE, TORN } how;
static int error_number;

/* The one place from which calls pass the filter: it goes by the address behind `syscall`. */
long fault_pass(long nr, long a, long b, long c, long d, long e, long f);
extern char fault_passed[];
__asm__(".text\n"
        ".globl fault_pass\n.hidden fault_pass\n.type fault_pass,@function\n"
        "fault_pass:\n"
        "  mov %rdi, %rax\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n"
        "  mov %r8, %r10\n  mov %r9, %r8\n  mov 8(%rsp), %r9\n"
        "  syscall\n"
        ".globl fault_passed\n.hidden fault_passed\n"
        "fault_passed:\n"
        "  ret\n");

static int within(const char *path) {
    return strncmp(path, folder, folder_len) == 0 &&
           (path[folder_len] == '/' || path[folder_len] == 0);
}

static int names(long dir, long path_arg) {
    const char *path = (const char *)path_arg;
    char link[64], base[4096];
    if (path == NULL) return 0;
    if (path[0] == '/') return within(path);
    if ((int)dir == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", (int)dir);
    ssize_t len = readlink(link, base, sizeof base - 1);
    if (len < 0) return 0;
    base[len] = 0;
    return within(base);
}

/* Whether a call changes something in the folder. */
static int counts(long nr, const long *a) {
    const int CREATES = O_CREAT | O_TRUNC;
    switch (nr) {
    case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_fsync: case SYS_fdatasync:
    case SYS_ftruncate: case SYS_fallocate:
        return names(a[0], (long)"");
    case SYS_truncate: case SYS_rename: case SYS_link: case SYS_unlink: case SYS_creat: case SYS_mkdir:
        return names(AT_FDCWD, a[0]);
    case SYS_open:
        return (a[1] & CREATES) && names(AT_FDCWD, a[0]);
    case SYS_openat:
        return (a[2] & CREATES) && names(a[0], a[1]);
    default: /* renameat, renameat2, linkat, unlinkat, mkdirat */
        return names(a[0], a[1]);
    }
}

static void end(void) {
    fault_pass(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
    for (;;) pause();
}

static long half(long nr, const long *a) {
    if (nr == SYS_writev) {
        struct iovec part = *(const struct iovec *)a[1];
        part.iov_len = (part.iov_len + 1) / 2;
        return fault_pass(nr, a[0], (long)&part, 1, 0, 0, 0);
    }
    if (nr == SYS_write || nr == SYS_pwrite64)
        return fault_pass(nr, a[0], a[1], a[2] / 2, a[3], 0, 0);
    return 0;
}

static void caught(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int saved = errno;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    long nr = info->si_syscall;
    long a[6] = {regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
                 regs[REG_R10], regs[REG_R8],  regs[REG_R9]};
    int now = 0;
    if (counts(nr, a)) now = __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST) == fault_at;
    if (now && how == KILL) end();
    if (now && how == TORN) {
        half(nr, a);
        end();
    }
    regs[REG_RAX] = now && how == ERROR ? -error_number
                                        : fault_pass(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (now && how == LATE) end();
    errno = saved;
}

static void refuse(const char *why) {
    fprintf(stderr, "fault: %s\n", why);
    _exit(97);
}

__attribute__((constructor)) static void begin(void) {
    const char *in = getenv("FAULT_FOLDER"), *count = getenv("FAULT_COUNT");
    const char *at = getenv("FAULT_AT"), *what = getenv("FAULT_HOW");
    if (!in || !count || !at || !what || strlen(in) >= sizeof folder) refuse("its variables");
    strcpy(folder, in);
    folder_len = strlen(folder);
    fault_at = strtoull(at, NULL, 10);
    how = strcmp(what, "kill") == 0 ? KILL : strcmp(what, "late") == 0 ? LATE
        : strcmp(what, "torn") == 0 ? TORN : ERROR;
    if (how == ERROR && sscanf(what, "error:%d", &error_number) != 1) refuse(what);
    int fd = open(count, O_RDWR);
    calls = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || calls == MAP_FAILED) refuse("FAULT_COUNT cannot be mapped");
    close(fd);

    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL)) refuse("sigaction");

    /* Where the call comes from our own place it passes; one that is caught raises SIGSYS. */
    struct sock_filter filter[8 + COUNT];
    size_t n = 0;
    uint64_t ip = (uint64_t)(uintptr_t)fault_passed;
#define LOAD(field) (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field)
#define SAME(value, yes, no) (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
    const size_t at_ip = offsetof(struct seccomp_data, instruction_pointer);
    filter[n++] = LOAD(at_ip);
    filter[n++] = SAME((uint32_t)ip, 0, 2);
    filter[n++] = LOAD(at_ip + 4);
    filter[n++] = SAME((uint32_t)(ip >> 32), COUNT + 1, 0);
    filter[n++] = LOAD(offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++)
        filter[n++] = SAME((uint32_t)CAUGHT[i], COUNT - i, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) refuse("no_new_privs");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) refuse("seccomp");
}
