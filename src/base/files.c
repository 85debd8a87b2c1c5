/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Every open of a file that may be hostile: a FIFO must not block, a terminal must not become ours. */
enum { READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static bool system_error(struct error *err, const char *path)
{
  return error_set(err, errno == ENOMEM ? ERROR_MEMORY : ERROR_FAILED, "%s: %m", path);
}

/* Map what `fd` refers to, and close it in any case; `path` is for messages. */
static bool map_descriptor(int fd, const char *path, size_t limit, struct file_map *map, struct error *err)
{
  struct stat st;
  bool ok = false;
  if (fstat(fd, &st) != 0) {
    system_error(err, path);
  } else if (!S_ISREG(st.st_mode)) {
    error_set(err, ERROR_FAILED, "%s: is %s, not a regular file", path,
              S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
  } else if (limit && (uintmax_t)st.st_size > limit) {
    error_set(err, ERROR_FAILED, "%s: %jd bytes are more than the limit of %zu", path, (intmax_t)st.st_size, limit);
  } else if (st.st_size == 0) {
    ok = true;
  } else {
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    ok = data != MAP_FAILED || system_error(err, path);
    if (ok)
      *map = (struct file_map){.data = data, .size = (size_t)st.st_size};
  }
  close(fd);
  return ok;
}

bool file_map(const char *path, size_t limit, struct file_map *map, struct error *err)
{
  *map = (struct file_map){0};
  int fd = open(path, READ_FLAGS);
  return fd >= 0 ? map_descriptor(fd, path, limit, map, err) : system_error(err, path);
}

/* Open `name` below `root` one component at a time, following no link: what openat2 does in one call where the kernel
 * and its sandbox have it. */
static int open_beneath_by_steps(int root, const char *name)
{
  int at = root;
  for (;;) {
    name += strspn(name, "/");
    size_t n = strcspn(name, "/");
    char component[NAME_MAX + 1];
    int fd = -1;
    if (n > NAME_MAX) {
      errno = ENAMETOOLONG;
    } else {
      memcpy(component, name, n);
      component[n] = '\0';
      bool last = name[n + strspn(name + n, "/")] == '\0';
      int folder = name[n] == '/' ? O_DIRECTORY : 0; /* "file/" names no file */
      fd = openat(at, component, O_NOFOLLOW | folder | (last ? READ_FLAGS : O_PATH | O_CLOEXEC));
      if (last)
        name = "";
    }
    int saved = errno;
    if (at != root)
      close(at);
    errno = saved;
    if (fd < 0 || !*name)
      return fd;
    at = fd;
    name += n;
  }
}

static int open_beneath(int root, const char *name)
{
  struct open_how how = {.flags = READ_FLAGS | O_NOFOLLOW,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* old kernel, or a sandbox that does not know the call */
    fd = open_beneath_by_steps(root, name);
  return fd;
}

/* No absolute name, no empty one, and ".." nowhere. */
static bool stays_inside(const char *name)
{
  if (!*name || *name == '/')
    return false;
  for (const char *p = name; *p; p += strspn(p, "/")) {
    size_t n = strcspn(p, "/");
    if (n == 2 && p[0] == '.' && p[1] == '.')
      return false;
    p += n;
  }
  return true;
}

bool file_map_within(const char *dir, const char *name, bool symlinks, struct file_map *map, struct error *err)
{
  *map = (struct file_map){0};
  if (!stays_inside(name))
    return error_set(err, ERROR_FAILED, "'%s': is no name inside the folder %s", name, dir);
  int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return system_error(err, dir);
  int fd = symlinks ? openat(root, name, READ_FLAGS) : open_beneath(root, name);
  int saved = errno;
  close(root);
  errno = saved;
  if (fd >= 0)
    return map_descriptor(fd, name, 0, map, err);
  if (!symlinks && (errno == ELOOP || errno == EXDEV || errno == ENOTDIR))
    return error_set(err, ERROR_FAILED, "'%s': passes through a symbolic link or leaves the folder %s", name, dir);
  return system_error(err, name);
}

void file_unmap(struct file_map *map)
{
  if (map->data)
    (void)munmap((void *)(uintptr_t)map->data, map->size);
  *map = (struct file_map){0};
}

void file_release(const struct file_map *map, const void *at, size_t bytes)
{
  /* By numbers: `at` may be memory of any origin. */
  const uintptr_t data = (uintptr_t)map->data, from = (uintptr_t)at;
  if (!map->data || from < data || from - data > map->size || bytes > map->size - (from - data) || bytes == 0)
    return;
  /* The mapping is read-only: its pages never differ from the file, and those that are shared with neighbours may go,
   * too. */
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = from / page * page;
  (void)madvise((void *)begin, from + bytes - begin, MADV_DONTNEED);
}

/* A hidden name beside `path`: its folder, and a name of this process that `attempt` makes different. */
static char *hidden_sibling(const char *path, int attempt)
{
  const char *slash = strrchr(path, '/');
  int folder = slash ? (int)(slash - path) + 1 : 0;
  size_t size = (size_t)folder + 64;
  char *name = mem_alloc(size);
  if (name)
    (void)snprintf(name, size, "%.*s.penumbra-%ld-%d.part", folder, path, (long)getpid(), attempt);
  return name;
}

enum { ATTEMPTS = 10000 }; /* temporary names tried: as many threads may write into one folder at once */

static bool write_all(int fd, const struct file_part *parts, size_t count)
{
  for (size_t i = 0; i < count; i++)
    for (size_t done = 0; done < parts[i].size;) {
      ssize_t n = write(fd, (const char *)parts[i].bytes + done, parts[i].size - done);
      if (n < 0 && errno != EINTR)
        return false;
      done += n > 0 ? (size_t)n : 0;
    }
  return true;
}

bool file_write_parts(const char *path, const struct file_part *parts, size_t count, struct error *err)
{
  char *temporary = NULL;
  int fd = -1;
  for (int attempt = 0; fd < 0 && attempt < ATTEMPTS; attempt++) {
    mem_free(temporary);
    temporary = hidden_sibling(path, attempt);
    if (!temporary)
      return error_memory(err, path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST)
      break;
  }
  if (fd < 0) {
    system_error(err, path);
    mem_free(temporary);
    return false;
  }
  /* The bytes are on the disk before the name is: a power cut leaves the old file or the new one. */
  bool ok = write_all(fd, parts, count) && fsync(fd) == 0;
  int saved = errno;
  if (close(fd) != 0 && ok) {
    ok = false;
    saved = errno;
  }
  if (ok && rename(temporary, path) != 0) {
    ok = false;
    saved = errno;
  }
  if (!ok) {
    (void)unlink(temporary);
    errno = saved;
    system_error(err, path);
  }
  mem_free(temporary);
  return ok;
}

bool file_write(const char *path, const void *bytes, size_t size, struct error *err)
{
  return file_write_parts(path, &(struct file_part){.bytes = bytes, .size = size}, 1, err);
}

bool file_exists(const char *path)
{
  struct stat st;
  return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int by_bytes(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_dots(const char *name)
{
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool file_list(const char *dir, char ***names, size_t *count, struct error *err)
{
  char **list = NULL;
  size_t n = 0, capacity = 0;
  *names = NULL;
  *count = 0;
  DIR *folder = opendir(dir);
  if (!folder)
    return system_error(err, dir);
  bool ok = true;
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (!entry) {
      ok = errno == 0 || system_error(err, dir);
      break;
    }
    if (is_dots(entry->d_name))
      continue;
    if (n == capacity) {
      capacity = capacity ? capacity * 2 : 64;
      char **grown = mem_grow(list, capacity * sizeof *list);
      if (!grown) {
        ok = error_memory(err, dir);
        break;
      }
      list = grown;
    }
    list[n] = mem_strdup(entry->d_name);
    if (!list[n]) {
      ok = error_memory(err, dir);
      break;
    }
    n++;
  }
  closedir(folder);
  if (!ok) {
    file_list_free(list, n);
    return false;
  }
  if (n)
    qsort(list, n, sizeof *list, by_bytes);
  *names = list;
  *count = n;
  return true;
}

void file_list_free(char **names, size_t count)
{
  for (size_t i = 0; i < count; i++)
    mem_free(names[i]);
  mem_free(names);
}

enum { DEEPEST = 64 }; /* folders within folders that remove_tree goes down */

/* Remove `name` in folder `at` and all below it, following no link; best effort. */
static void remove_tree(int at, const char *name, int depth)
{
  int fd = depth < DEEPEST ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
  if (folder) {
    for (const struct dirent *entry; (entry = readdir(folder));) {
      if (is_dots(entry->d_name))
        continue;
      if (unlinkat(fd, entry->d_name, 0) != 0)
        remove_tree(fd, entry->d_name, depth + 1);
    }
    closedir(folder);
  } else if (fd >= 0) {
    close(fd);
  }
  if (unlinkat(at, name, AT_REMOVEDIR) != 0)
    (void)unlinkat(at, name, 0);
}

/* Create the folders above `path`. */
static bool make_parents(char *path, struct error *err)
{
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    bool ok = mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_dir(path));
    if (!ok && errno == EEXIST)
      errno = ENOTDIR;
    if (!ok)
      system_error(err, path);
    *slash = '/';
    if (!ok)
      return false;
  }
  return true;
}

/* `path` without slashes at its end; through symbolic links where it exists, so that a link to a folder stays one. */
static char *final_path(const char *path)
{
  char real[PATH_MAX];
  char *copy = mem_strdup(realpath(path, real) ? real : path);
  for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/';)
    copy[--n] = '\0';
  return copy;
}

static bool is_empty_dir(const char *path, bool *empty, struct error *err)
{
  DIR *folder = opendir(path);
  if (!folder)
    return system_error(err, path);
  *empty = true;
  for (const struct dirent *entry; *empty && (entry = readdir(folder));)
    *empty = is_dots(entry->d_name);
  closedir(folder);
  return true;
}

static bool refuse_existing(const char *path, struct error *err)
{
  return error_set(err, ERROR_FAILED, "%s: the folder is not empty; --overwrite replaces it", path);
}

bool output_begin(struct output *out, const char *path, bool replace, struct error *err)
{
  *out = (struct output){.replace = replace};
  if (!*path)
    return error_set(err, ERROR_FAILED, "the output folder has no name");
  out->path = final_path(path);
  if (!out->path)
    return error_memory(err, path);
  bool ok = true;
  if (strcmp(out->path, "/") == 0) {
    ok = error_set(err, ERROR_FAILED, "/: cannot be an output folder");
  } else if (file_exists(out->path)) {
    bool empty = false;
    if (!file_is_dir(out->path))
      ok = error_set(err, ERROR_FAILED, "%s: is a file, not a folder", path);
    else
      ok = is_empty_dir(out->path, &empty, err) && (empty || replace || refuse_existing(path, err));
  } else {
    ok = make_parents(out->path, err);
  }
  for (int attempt = 0; ok && !out->temporary && attempt < ATTEMPTS; attempt++) {
    char *name = hidden_sibling(out->path, attempt);
    if (!name)
      ok = error_memory(err, path);
    else if (mkdir(name, 0777) == 0)
      out->temporary = name;
    else if (errno != EEXIST || attempt + 1 == ATTEMPTS)
      ok = system_error(err, path);
    if (!out->temporary)
      mem_free(name);
  }
  if (!ok)
    output_end(out);
  return ok;
}

bool output_path(const struct output *out, const char *name, char *buffer, size_t size, struct error *err)
{
  if (!stays_inside(name))
    return error_set(err, ERROR_FAILED, "'%s': is no name inside the folder %s", name, out->path);
  int n = snprintf(buffer, size, "%s/%s", out->temporary, name);
  if (n < 0 || (size_t)n >= size)
    return error_set(err, ERROR_FAILED, "%s/%s: the path is longer than %zu bytes", out->path, name, size);
  return true;
}

/* Put the temporary folder in the place of a folder that exists. Where the file system can swap two names, no moment
 * passes without a folder of that name; elsewhere the old one steps aside first and comes back if the new one fails. */
static bool swap_in(struct output *out)
{
  if (renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->path, RENAME_EXCHANGE) == 0) {
    remove_tree(AT_FDCWD, out->temporary, 0);
    return true;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM)
    return false;
  size_t size = strlen(out->temporary) + sizeof "-old";
  char *aside = mem_alloc(size);
  if (!aside) {
    errno = ENOMEM;
    return false;
  }
  (void)snprintf(aside, size, "%s-old", out->temporary);
  bool ok = rename(out->path, aside) == 0;
  if (ok && rename(out->temporary, out->path) != 0) {
    int saved = errno;
    (void)rename(aside, out->path);
    errno = saved;
    ok = false;
  }
  if (ok)
    remove_tree(AT_FDCWD, aside, 0);
  mem_free(aside);
  return ok;
}

bool output_commit(struct output *out, struct error *err)
{
  if (rename(out->temporary, out->path) != 0) { /* an empty folder gives way to a rename, a full one does not */
    bool exists = errno == EEXIST || errno == ENOTEMPTY;
    if (exists && !out->replace)
      return refuse_existing(out->path, err);
    if (!exists || !swap_in(out))
      return system_error(err, out->path);
  }
  mem_free(out->temporary);
  out->temporary = NULL;
  return true;
}

void output_end(struct output *out)
{
  if (out->temporary)
    remove_tree(AT_FDCWD, out->temporary, 0);
  mem_free(out->temporary);
  mem_free(out->path);
  *out = (struct output){0};
}

bool file_sha256(const void *bytes, size_t size, char hex[65])
{
  static const char digits[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(bytes ? bytes : "", size, digest, &length, EVP_sha256(), NULL) != 1 || length != 32)
    return false;
  for (unsigned int i = 0; i < length; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
  }
  hex[64] = '\0';
  return true;
}
