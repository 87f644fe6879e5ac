// Preloaded before the C library: at the n-th call that changes a file below one folder, kill the process, or let the
// disk be full from then on. Calls are counted from fault_arm on; what they are can be written to a log.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { kCount, kKill, kFull };

static char g_below[PATH_MAX];
static int g_mode = -1, g_log = -1, g_without_exchange;
static long g_at;
static atomic_long g_calls;

// Lacks exchange: renameat2 is then unknown, as on an old kernel.
void fault_arm(const char* below, int mode, long at, int log, int without_exchange) {
  snprintf(g_below, sizeof g_below, "%s/", below);
  g_at = at;
  g_log = log;
  g_without_exchange = without_exchange;
  g_calls = 0;
  g_mode = mode;
}

long fault_calls(void) { return g_calls; }

static int is_below_path(int folder, const char* path) {
  if (path[0] == '/') return strncmp(path, g_below, strlen(g_below)) == 0;
  char link[64], base[PATH_MAX];
  if (folder == AT_FDCWD) {
    snprintf(link, sizeof link, "/proc/self/cwd");
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  }
  const ssize_t size = readlink(link, base, sizeof base - 1);
  if (size <= 0) return 0;
  base[size] = '/';
  return strncmp(base, g_below, strlen(g_below)) == 0;
}

static int is_below_file(int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return strncmp(path, g_below, strlen(g_below)) == 0;
}

// Whether the disk is full at this call of `name`; the process ends here if it is to be killed.
static int counted(const char* name, int needs_room) {
  const long call = atomic_fetch_add(&g_calls, 1) + 1;
  if (g_log >= 0) dprintf(g_log, "%s\n", name);
  if (g_mode == kKill && call == g_at) {
    syscall(SYS_kill, getpid(), SIGKILL);
    pause();
  }
  if (g_mode == kFull && call >= g_at && needs_room) {
    errno = ENOSPC;
    return 1;
  }
  return 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define AT_FILE(name, file, needs_room) (g_mode >= 0 && is_below_file(file) && counted(name, needs_room))
#define AT_PATH(name, folder, path, needs_room) \
  (g_mode >= 0 && is_below_path(folder, path) && counted(name, needs_room))

ssize_t write(int file, const void* data, size_t size) {
  if (file == g_log || !AT_FILE("write", file, 1)) return NEXT(write)(file, data, size);
  // A disk that fills up takes a part first.
  if (g_calls == g_at && size > 1) return NEXT(write)(file, data, size / 2);
  errno = ENOSPC;
  return -1;
}

int fsync(int file) { return AT_FILE("fsync", file, 1) ? -1 : NEXT(fsync)(file); }
int fdatasync(int file) { return AT_FILE("fdatasync", file, 1) ? -1 : NEXT(fdatasync)(file); }
int ftruncate(int file, off_t size) { return AT_FILE("truncate", file, 0) ? -1 : NEXT(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return AT_FILE("truncate", file, 0) ? -1 : NEXT(ftruncate64)(file, size); }

int mkdir(const char* path, mode_t mode) {
  return AT_PATH("mkdir", AT_FDCWD, path, 1) ? -1 : NEXT(mkdir)(path, mode);
}

int rmdir(const char* path) { return AT_PATH("rmdir", AT_FDCWD, path, 0) ? -1 : NEXT(rmdir)(path); }
int unlink(const char* path) { return AT_PATH("unlink", AT_FDCWD, path, 0) ? -1 : NEXT(unlink)(path); }

int unlinkat(int folder, const char* path, int flags) {
  return AT_PATH("unlink", folder, path, 0) ? -1 : NEXT(unlinkat)(folder, path, flags);
}

int rename(const char* from, const char* to) {
  return AT_PATH("rename", AT_FDCWD, from, 0) ? -1 : NEXT(rename)(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (g_without_exchange) {
    errno = ENOSYS;
    return -1;
  }
  if (AT_PATH("rename", from_folder, from, 0)) return -1;
  return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int link(const char* from, const char* to) { return AT_PATH("link", AT_FDCWD, to, 1) ? -1 : NEXT(link)(from, to); }

static int creates(int flags, va_list rest, mode_t* mode) {
  const int with_mode = (flags & O_CREAT) != 0;
  *mode = with_mode ? va_arg(rest, mode_t) : 0;
  return with_mode;
}

#define OPEN(name)                                                                    \
  int name(const char* path, int flags, ...) {                                        \
    va_list rest;                                                                     \
    mode_t mode;                                                                      \
    va_start(rest, flags);                                                            \
    const int made = creates(flags, rest, &mode);                                     \
    va_end(rest);                                                                     \
    if (made && AT_PATH("create", AT_FDCWD, path, 1)) return -1;                      \
    return ((int (*)(const char*, int, mode_t))dlsym(RTLD_NEXT, #name))(path, flags, mode); \
  }

OPEN(open)
OPEN(open64)
