// Preloaded before the C library: files below one folder are read as from a slow device, or one that fails now and then.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static char g_below[PATH_MAX];
static atomic_long g_bytes_per_s, g_errors, g_short, g_delays;  // the last three: in a million calls
static atomic_long g_failed, g_shortened, g_delayed, g_calls;
static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static int64_t g_free_at;  // nanoseconds

void device_set(const char* below, long bytes_per_s, long errors, long shortened, long delays) {
  snprintf(g_below, sizeof g_below, "%s/", below);
  g_bytes_per_s = bytes_per_s;
  g_errors = errors;
  g_short = shortened;
  g_delays = delays;
}

void device_counts(long* calls, long* failed, long* shortened, long* delayed) {
  *calls = g_calls;
  *failed = g_failed;
  *shortened = g_shortened;
  *delayed = g_delayed;
}

__attribute__((constructor)) static void begin(void) {
  const char* below = getenv("DEVICE_BELOW");
  const char* rate = getenv("DEVICE_BYTES_PER_S");
  if (below != NULL) device_set(below, rate == NULL ? 0 : atol(rate), 0, 0, 0);
}

static int is_below(int file) {
  char link[64], path[PATH_MAX];
  if (g_below[0] == 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return strncmp(path, g_below, strlen(g_below)) == 0;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void sleep_until(int64_t end) {
  const struct timespec time = {end / 1000000000, end % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) continue;  // as a disk waits
}

static int happens(atomic_long* rate) {
  static __thread uint64_t state;
  if (state == 0) state = (uint64_t)now() ^ (uint64_t)(uintptr_t)&state;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (long)((state >> 33) % 1000000) < *rate;
}

// Requests wait for one another, as at a disk.
static void take_time(size_t bytes) {
  const long rate = g_bytes_per_s;
  if (happens(&g_delays)) {
    ++g_delayed;
    sleep_until(now() + 50000000);
  }
  if (rate <= 0) return;
  pthread_mutex_lock(&g_mutex);
  const int64_t begin = now() > g_free_at ? now() : g_free_at;
  g_free_at = begin + (int64_t)((double)bytes * 1e9 / (double)rate);
  const int64_t end = g_free_at;
  pthread_mutex_unlock(&g_mutex);
  sleep_until(end);
}

// What is left of a request of `size` bytes; -1: it fails.
static ssize_t admitted(int file, size_t size) {
  if (!is_below(file)) return (ssize_t)size;
  ++g_calls;
  if (happens(&g_errors)) {
    ++g_failed;
    errno = EIO;
    return -1;
  }
  if (size > 1 && happens(&g_short)) {
    ++g_shortened;
    size = 1 + (size_t)now() % (size - 1);
  }
  return (ssize_t)size;
}

static ssize_t finished(int file, ssize_t got) {
  if (got > 0 && is_below(file)) take_time((size_t)got);
  return got;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int file, void* data, size_t size) {
  const ssize_t left = admitted(file, size);
  return left < 0 ? -1 : finished(file, NEXT(read)(file, data, (size_t)left));
}

// A direct read of a part is made in a piece of its own: the kernel refuses other sizes than whole sectors.
static ssize_t part_of(int file, void* data, size_t size, size_t left, off_t offset) {
  const ssize_t got = NEXT(pread)(file, data, size, offset);
  return got > (ssize_t)left ? (ssize_t)left : got;
}

ssize_t pread(int file, void* data, size_t size, off_t offset) {
  const ssize_t left = admitted(file, size);
  return left < 0 ? -1 : finished(file, part_of(file, data, size, (size_t)left, offset));
}

ssize_t pread64(int file, void* data, size_t size, off64_t offset) { return pread(file, data, size, offset); }
