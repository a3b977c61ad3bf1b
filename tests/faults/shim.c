// Counts what a process does to the files below a folder, and ends the process at a number.
//
// Preloaded (LD_PRELOAD), it stands before the C library's calls that change files, whoever makes them: Python, Arrow,
// Rust. Renames that a library makes by the system's own call, as those of safetensors, are caught by a filter of
// system calls. It does nothing until `arm` is called. Each change has a number, in the order in which all threads and forks
// make them. A line for each goes to the log: before it is made "NUMBER CALL PATH[\tPATH]", afterwards "=NUMBER SIZE",
// where SIZE is that of the file afterwards (-1: of none) or "failed".
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

enum { BEFORE, AFTER, HALF };

static char below[PATH_MAX];
static size_t below_length;
static long *made;
static long end_at;
static int end_how, log_to = -1;

static void catch_renames(void);

// Watch `folder`; end at change `number` (0: never), before it, after it, or with half of what it writes written.
void arm(const char *folder, long number, int how, const char *log) {
    made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    end_at = number, end_how = how;
    log_to = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    below_length = strlen(strcpy(below, folder));
    catch_renames();
}

// The whole process group, which is the command's own: others that it started end with it.
static void end(void) {
    syscall(SYS_kill, 0, SIGKILL);
    for (;;) pause();
}

static int is_below(const char *path) {
    return !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

// What an open descriptor is called now; empty if it is no file.
static void name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
}

static void whole_name(int folder, const char *name, char *path) {
    path[0] = 0;
    if (*name != '/') {
        if (folder == AT_FDCWD) { if (syscall(SYS_getcwd, path, PATH_MAX) < 0) path[0] = 0; }
        else name_of(folder, path);
        strncat(path, "/", PATH_MAX - strlen(path) - 1);
        while (name[0] == '.' && name[1] == '/') name += 2;
    }
    strncat(path, name, PATH_MAX - strlen(path) - 1);
}

// Number a change and log it; 0 if it is none of ours.
static long count(const char *call, const char *path, const char *more) {
    if (!below_length || !(is_below(path) || is_below(more))) return 0;
    int before = errno;
    long number = __atomic_add_fetch(made, 1, __ATOMIC_SEQ_CST);
    char line[2 * PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s%s%s\n", number, call, path, *more ? "\t" : "", more);
    syscall(SYS_write, log_to, line, length);
    if (number == end_at && end_how == BEFORE) end();
    errno = before;
    return number;
}

static void counted(long number, int failed, const char *path) {
    if (!number) return;
    int before = errno;
    struct stat about;
    char line[64];
    long size = syscall(SYS_newfstatat, AT_FDCWD, path, &about, 0) ? -1 : about.st_size;
    int length = failed ? snprintf(line, sizeof line, "=%ld failed\n", number)
                        : snprintf(line, sizeof line, "=%ld %ld\n", number, size);
    syscall(SYS_write, log_to, line, length);
    if (number == end_at && end_how == AFTER) end();
    errno = before;
}

static int halves(long number) { return number && number == end_at && end_how == HALF; }

#define REAL(result, name, parameters) \
    static result (*real)parameters; \
    if (!real) real = dlsym(RTLD_NEXT, #name)

static int changes(int folder, const char *name, int flags) {
    struct stat about;
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_TMPFILE) == O_TMPFILE) return 0;
    return flags & O_TRUNC || (flags & O_CREAT && syscall(SYS_newfstatat, folder, name, &about, 0));
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, (const char *, int, ...)); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (!below_length || !changes(AT_FDCWD, path, flags)) return real(path, flags, mode); \
        char whole[PATH_MAX]; whole_name(AT_FDCWD, path, whole); \
        long number = count("open", whole, ""); \
        int fd = real(path, flags, mode); \
        counted(number, fd < 0, whole); \
        return fd; \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, name, (int, const char *, int, ...)); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (!below_length || !changes(folder, path, flags)) return real(folder, path, flags, mode); \
        char whole[PATH_MAX]; whole_name(folder, path, whole); \
        long number = count("open", whole, ""); \
        int fd = real(folder, path, flags, mode); \
        counted(number, fd < 0, whole); \
        return fd; \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name) \
    int name(const char *path, mode_t mode) { return open(path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
CREAT(creat)
CREAT(creat64)

// C++ streams open by fopen and write by write; what C writes by fwrite is seen here only as opened.
#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        REAL(FILE *, name, (const char *, const char *)); \
        int flags = *how == 'r' ? 0 : O_WRONLY | O_CREAT | (*how == 'w' ? O_TRUNC : 0); \
        if (!below_length || !changes(AT_FDCWD, path, flags)) return real(path, how); \
        char whole[PATH_MAX]; whole_name(AT_FDCWD, path, whole); \
        long number = count("open", whole, ""); \
        FILE *file = real(path, how); \
        counted(number, !file, whole); \
        return file; \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define ON_FILE(result, name, call, parameters, fd, arguments, half) \
    result name parameters { \
        REAL(result, name, parameters); \
        if (!below_length) return real arguments; \
        char path[PATH_MAX]; name_of(fd, path); \
        long number = count(call, path, ""); \
        if (halves(number)) { half; end(); } \
        result done = real arguments; \
        counted(number, done < 0, path); \
        return done; \
    }
ON_FILE(ssize_t, write, "write", (int fd, const void *data, size_t size), fd, (fd, data, size), real(fd, data, size / 2))
ON_FILE(ssize_t, pwrite, "write", (int fd, const void *data, size_t size, off_t at), fd, (fd, data, size, at),
        real(fd, data, size / 2, at))
ON_FILE(ssize_t, pwrite64, "write", (int fd, const void *data, size_t size, off64_t at), fd, (fd, data, size, at),
        real(fd, data, size / 2, at))
ON_FILE(ssize_t, writev, "write", (int fd, const struct iovec *data, int size), fd, (fd, data, size),
        syscall(SYS_write, fd, data->iov_base, data->iov_len / 2))
ON_FILE(ssize_t, sendfile, "write", (int fd, int from, off_t *at, size_t size), fd, (fd, from, at, size), )
ON_FILE(ssize_t, sendfile64, "write", (int fd, int from, off64_t *at, size_t size), fd, (fd, from, at, size), )
ON_FILE(ssize_t, copy_file_range, "write", (int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags), fd,
        (from, at, fd, to, size, flags), )
ON_FILE(int, ftruncate, "truncate", (int fd, off_t size), fd, (fd, size), )
ON_FILE(int, ftruncate64, "truncate", (int fd, off64_t size), fd, (fd, size), )
ON_FILE(int, posix_fallocate, "truncate", (int fd, off_t at, off_t size), fd, (fd, at, size), )
ON_FILE(int, posix_fallocate64, "truncate", (int fd, off64_t at, off64_t size), fd, (fd, at, size), )
ON_FILE(int, fsync, "sync", (int fd), fd, (fd), )
ON_FILE(int, fdatasync, "sync", (int fd), fd, (fd), )

#define ON_NAME(name, call, parameters, folder, given, arguments) \
    int name parameters { \
        REAL(int, name, parameters); \
        if (!below_length) return real arguments; \
        char path[PATH_MAX]; whole_name(folder, given, path); \
        long number = count(call, path, ""); \
        int failed = real arguments; \
        counted(number, failed, path); \
        return failed; \
    }
ON_NAME(mkdir, "mkdir", (const char *path_, mode_t mode), AT_FDCWD, path_, (path_, mode))
ON_NAME(mkdirat, "mkdir", (int at, const char *path_, mode_t mode), at, path_, (at, path_, mode))
ON_NAME(rmdir, "rmdir", (const char *path_), AT_FDCWD, path_, (path_))
ON_NAME(unlink, "unlink", (const char *path_), AT_FDCWD, path_, (path_))
ON_NAME(unlinkat, "unlink", (int at, const char *path_, int flags), at, path_, (at, path_, flags))
ON_NAME(remove, "unlink", (const char *path_), AT_FDCWD, path_, (path_))
ON_NAME(truncate, "truncate", (const char *path_, off_t size), AT_FDCWD, path_, (path_, size))
ON_NAME(truncate64, "truncate", (const char *path_, off64_t size), AT_FDCWD, path_, (path_, size))
ON_NAME(symlink, "open", (const char *to, const char *path_), AT_FDCWD, path_, (to, path_))

#define ON_NAMES(name, call, parameters, from_at, from, to_at, to, arguments) \
    int name parameters { \
        REAL(int, name, parameters); \
        if (!below_length) return real arguments; \
        char path[PATH_MAX], more[PATH_MAX]; \
        whole_name(from_at, from, path); whole_name(to_at, to, more); \
        long number = count(call, path, more); \
        int failed = real arguments; \
        counted(number, failed, more); \
        return failed; \
    }
ON_NAMES(link, "link", (const char *from, const char *to), AT_FDCWD, from, AT_FDCWD, to, (from, to))

// A rename, by the only instruction from which the filter lets one through.
long renames(long from_at, const char *from, long to_at, const char *to, long flags);
#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
__asm__(".text\nrenames: mov %rcx, %r10\n mov $316, %eax\n syscall\nrenames_end: ret\n");
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
__asm__(".text\nrenames: mov x8, #276\n svc #0\nrenames_end: ret\n");
#endif
extern const char renames_end[];

static long renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char path[PATH_MAX], more[PATH_MAX];
    whole_name(from_at, from, path);
    whole_name(to_at, to, more);
    long number = count("rename", path, more);
    long result = renames(from_at, from, to_at, to, flags);
    counted(number, result < 0, more);
    return result;
}

static void on_rename(int signal, siginfo_t *about, void *context) {
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    greg_t *r = machine->gregs;
    long given[] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8]};
    if (about->si_syscall == SYS_rename) r[REG_RAX] = renamed(AT_FDCWD, (char *)given[0], AT_FDCWD, (char *)given[1], 0);
    else r[REG_RAX] = renamed(given[0], (char *)given[1], given[2], (char *)given[3],
                              about->si_syscall == SYS_renameat2 ? given[4] : 0);
#else
    unsigned long long *r = machine->regs;
    r[0] = renamed(r[0], (char *)r[1], r[2], (char *)r[3], about->si_syscall == SYS_renameat2 ? r[4] : 0);
#endif
}

static void catch_renames(void) {
    struct sigaction action = {.sa_sigaction = on_rename, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    unsigned long here = (unsigned long)renames_end;  // where the call returns to
#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)
#define IF(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, skipped, 0)
    struct sock_filter filter[] = {
        FIELD(arch), UNLESS(MACHINE, 9),
        FIELD(nr),
#ifdef SYS_rename
        IF(SYS_rename, 2),
#else
        IF(SYS_renameat2, 2),
#endif
        IF(SYS_renameat, 1), UNLESS(SYS_renameat2, 5),
        FIELD(instruction_pointer), UNLESS((unsigned)here, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        IF((unsigned)(here >> 32), 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
