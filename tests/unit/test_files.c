/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"
#include "fault.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_content(const char *path, const char *text)
{
  struct error err = {0};
  struct file_map map;
  assert_true(file_map(path, 0, &map, &err));
  assert_int_equal(map.size, strlen(text));
  if (map.size)
    assert_memory_equal(map.data, text, map.size);
  file_unmap(&map);
  assert_null(map.data);
}

static size_t names_in(const char *dir)
{
  struct error err = {0};
  char **names;
  size_t count;
  assert_true(file_list(dir, &names, &count, &err));
  file_list_free(names, count);
  return count;
}

static void maps_whole_files(void **state)
{
  (void)state;
  struct error err = {0};
  struct file_map map;
  scratch_file("a", "lung", 4);
  expect_content(scratch_path("a"), "lung");
  assert_true(file_map(scratch_path("a"), 4, &map, &err));
  file_unmap(&map);
  assert_false(file_map(scratch_path("a"), 3, &map, &err));
  assert_null(map.data);
  assert_non_null(strstr(err.message, "4 bytes are more than the limit of 3"));
  scratch_file("empty", "", 0);
  err = (struct error){0};
  assert_true(file_map(scratch_path("empty"), 0, &map, &err));
  assert_null(map.data);
  assert_int_equal(map.size, 0);
  file_unmap(&map);
}

static void refuses_what_is_no_file(void **state)
{
  (void)state;
  struct file_map map;
  struct error missing = {0}, folder = {0}, pipe = {0}, device = {0};
  assert_false(file_map(scratch_path("none"), 0, &map, &missing));
  assert_int_equal(missing.code, ERROR_FAILED);
  assert_non_null(strstr(missing.message, "none: No such file"));
  assert_false(file_map(scratch, 0, &map, &folder));
  assert_non_null(strstr(folder.message, "is a folder, not a regular file"));
  assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
  assert_false(file_map(scratch_path("fifo"), 0, &map, &pipe)); /* and does not wait for a writer */
  assert_non_null(strstr(pipe.message, "not a regular file"));
  assert_false(file_map("/dev/zero", 0, &map, &device));
  assert_int_equal(device.code, ERROR_FAILED);
}

/* in/                 what a model may refer to
 *   weights, sub/w, link -> weights, sub/up -> .., out -> ../outside, away -> (absolute) outside
 * outside             what it may not */
static void make_tree(void)
{
  scratch_file("outside", "secret", 6);
  assert_int_equal(mkdir(scratch_path("in"), 0700), 0);
  assert_int_equal(mkdir(scratch_path("in/sub"), 0700), 0);
  scratch_file("in/weights", "w", 1);
  scratch_file("in/sub/w", "ww", 2);
  scratch_file("in/..dots", "d", 1);
  assert_int_equal(symlink("weights", scratch_path("in/link")), 0);
  assert_int_equal(symlink("..", scratch_path("in/sub/up")), 0);
  assert_int_equal(symlink("../outside", scratch_path("in/out")), 0);
  assert_int_equal(symlink(scratch_path("outside"), scratch_path("in/away")), 0);
  assert_int_equal(symlink("sub", scratch_path("in/subs")), 0);
  assert_int_equal(mkfifo(scratch_path("in/fifo"), 0600), 0);
}

/* Bytes of the file `name` in the folder "in", -1 where it is refused. */
static long long size_within(const char *name, bool symlinks)
{
  struct error err = {0};
  struct file_map map;
  bool ok = file_map_within(scratch_path("in"), name, symlinks, &map, &err);
  long long size = ok ? (long long)map.size : -1;
  assert_int_equal(ok, err.code == ERROR_NONE);
  if (!ok)
    assert_null(map.data);
  file_unmap(&map);
  return size;
}

static void check_containment(void)
{
  assert_int_equal(size_within("weights", false), 1);
  assert_int_equal(size_within("sub/w", false), 2);
  assert_int_equal(size_within("./sub//w", false), 2);
  assert_int_equal(size_within("..dots", false), 1);
  static const char *const refused[] = {
      "",         "../outside", "sub/../weights", "sub/../../outside",
      "..",       "sub/..",     "/etc/passwd",    "//etc/passwd",
      "link",     "sub/up",     "sub/up/weights", "out",
      "away",     "subs/w",     "fifo",           "sub",
      "weights/", "weights/x",  "none",           "none/w",
      ".",
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    if (size_within(refused[i], false) != -1)
      fail_msg("'%s' was opened", refused[i]);
  char longest[5000];
  memset(longest, 'n', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_int_equal(size_within(longest, false), -1);
  for (size_t i = 1; i < sizeof longest - 1; i += 2)
    longest[i] = '/';
  assert_int_equal(size_within(longest, false), -1);

  assert_int_equal(size_within("link", true), 1); /* symbolic links are followed where the user asked for it … */
  assert_int_equal(size_within("subs/w", true), 2);
  assert_int_equal(size_within("out", true), 6);
  assert_int_equal(size_within("../outside", true), -1); /* … ".." in the name is not */
  assert_int_equal(size_within("fifo", true), -1);
}

static void stays_inside_the_folder(void **state)
{
  (void)state;
  make_tree();
  check_containment();
  struct error err = {0};
  struct file_map map;
  assert_false(file_map_within(scratch_path("missing"), "weights", false, &map, &err));
  assert_int_equal(err.code, ERROR_FAILED);
}

/* The same on a kernel without openat2, played by a filter in a child process. */
static void stays_inside_without_openat2(void **state)
{
  (void)state;
  make_tree();
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      _exit(77);
    errno = 0;
    if (syscall(SYS_openat2, 0, NULL, NULL, 0) != -1 || errno != ENOSYS)
      _exit(77);
    check_containment(); /* a failure leaves by cmocka's way out, which is not status 42 */
    _exit(42);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    skip();
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 42);
}

static void writes_whole(void **state)
{
  (void)state;
  struct error err = {0};
  assert_true(file_write(scratch_path("a"), "one", 3, &err));
  expect_content(scratch_path("a"), "one");
  assert_true(file_write(scratch_path("a"), "", 0, &err));
  expect_content(scratch_path("a"), "");
  const struct file_part parts[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
  assert_true(file_write_parts(scratch_path("a"), parts, 3, &err));
  expect_content(scratch_path("a"), "abcde");
  assert_int_equal(names_in(scratch), 1);
  struct stat st;
  mode_t mask = umask(0);
  umask(mask);
  assert_int_equal(stat(scratch_path("a"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
}

static void failed_writes_leave_nothing(void **state)
{
  (void)state;
  struct error nowhere = {0}, folder = {0};
  assert_false(file_write(scratch_path("none/a"), "one", 3, &nowhere));
  assert_int_equal(nowhere.code, ERROR_FAILED);
  assert_int_equal(mkdir(scratch_path("dir"), 0700), 0);
  assert_false(file_write(scratch_path("dir"), "one", 3, &folder));
  assert_non_null(strstr(folder.message, "dir"));
  assert_int_equal(names_in(scratch), 1);
}

static void temporary_names_in_use_are_passed_over(void **state)
{
  (void)state;
  struct error err = {0};
  char name[64];
  for (int i = 0; i < 3; i++) {
    (void)snprintf(name, sizeof name, ".penumbra-%ld-%d.part", (long)getpid(), i);
    scratch_file(name, "theirs", 6);
  }
  assert_true(file_write(scratch_path("a"), "mine", 4, &err));
  expect_content(scratch_path("a"), "mine");
  expect_content(scratch_path(name), "theirs");
  assert_int_equal(names_in(scratch), 4);
}

static void lists_sorted(void **state)
{
  (void)state;
  static const char *const made[] = {"b", "a", "Z", ".hidden", "a10", "a2"}, *const sorted[] = {".hidden", "Z",  "a",
                                                                                                "a10",     "a2", "b"};
  for (size_t i = 0; i < 6; i++)
    scratch_file(made[i], "", 0);
  struct error err = {0};
  char **names;
  size_t count;
  assert_true(file_list(scratch, &names, &count, &err));
  assert_int_equal(count, 6);
  for (size_t i = 0; i < 6; i++)
    assert_string_equal(names[i], sorted[i]);
  file_list_free(names, count);
  assert_false(file_list(scratch_path("none"), &names, &count, &err));
  assert_null(names);
  assert_true(file_exists(scratch_path("a")));
  assert_false(file_exists(scratch_path("c")));
  assert_true(file_is_dir(scratch));
  assert_false(file_is_dir(scratch_path("a")));
}

static void lists_without_memory(void **state)
{
  (void)state;
  for (int i = 0; i < 100; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "%d", i);
    scratch_file(name, "", 0);
  }
  char **names;
  size_t count;
  FAULT_LOOP(file_list(scratch, &names, &count, &err), file_list_free(names, count));
}

static void put(const struct output *out, const char *name, const char *text)
{
  struct error err = {0};
  char path[512];
  assert_true(output_path(out, name, path, sizeof path, &err));
  assert_true(file_write(path, text, strlen(text), &err));
}

static void output_appears_at_once(void **state)
{
  (void)state;
  struct error err = {0};
  struct output out;
  assert_true(output_begin(&out, scratch_path("deep/er/out//"), false, &err));
  put(&out, "result.json", "{}");
  assert_false(file_exists(scratch_path("deep/er/out")));
  assert_true(output_commit(&out, &err));
  expect_content(scratch_path("deep/er/out/result.json"), "{}");
  output_end(&out);
  output_end(&out);
  assert_int_equal(names_in(scratch_path("deep/er")), 1);

  struct output zeroed = {0};
  output_end(&zeroed);
}

static void abandoned_output_leaves_nothing(void **state)
{
  (void)state;
  struct error err = {0};
  struct output out;
  assert_true(output_begin(&out, scratch_path("out"), false, &err));
  put(&out, "a", "a");
  char inner[512];
  assert_true(output_path(&out, "sub", inner, sizeof inner, &err));
  assert_int_equal(mkdir(inner, 0700), 0);
  put(&out, "sub/b", "b");
  scratch_file("mine", "mine", 4);
  assert_true(output_path(&out, "link", inner, sizeof inner, &err));
  assert_int_equal(symlink(scratch, inner), 0); /* is removed, not followed */
  output_end(&out);
  expect_content(scratch_path("mine"), "mine");
  assert_int_equal(names_in(scratch), 1);
}

static void full_folders_are_kept_unless_replaced(void **state)
{
  (void)state;
  struct error err = {0};
  struct output out;
  assert_int_equal(mkdir(scratch_path("out"), 0700), 0);
  assert_true(output_begin(&out, scratch_path("out"), false, &err)); /* empty: may be used */
  put(&out, "a", "new");
  assert_true(output_commit(&out, &err));
  output_end(&out);

  assert_false(output_begin(&out, scratch_path("out"), false, &err));
  assert_non_null(strstr(err.message, "--overwrite"));
  output_end(&out);
  expect_content(scratch_path("out/a"), "new");

  err = (struct error){0};
  assert_true(output_begin(&out, scratch_path("out"), true, &err));
  put(&out, "b", "newer");
  expect_content(scratch_path("out/a"), "new"); /* until the commit */
  assert_true(output_commit(&out, &err));
  output_end(&out);
  expect_content(scratch_path("out/b"), "newer");
  assert_false(file_exists(scratch_path("out/a")));
  assert_int_equal(names_in(scratch), 1);
}

static void folder_filled_meanwhile_is_kept(void **state)
{
  (void)state;
  struct error err = {0};
  struct output out;
  assert_true(output_begin(&out, scratch_path("out"), false, &err));
  put(&out, "a", "ours");
  assert_int_equal(mkdir(scratch_path("out"), 0700), 0);
  scratch_file("out/a", "theirs", 6);
  assert_false(output_commit(&out, &err));
  assert_non_null(strstr(err.message, "--overwrite"));
  output_end(&out);
  expect_content(scratch_path("out/a"), "theirs");
  assert_int_equal(names_in(scratch), 1);
}

static void linked_folder_stays_linked(void **state)
{
  (void)state;
  struct error err = {0};
  struct output out;
  assert_int_equal(mkdir(scratch_path("disk"), 0700), 0);
  scratch_file("disk/old", "", 0);
  assert_int_equal(symlink("disk", scratch_path("out")), 0);
  assert_true(output_begin(&out, scratch_path("out"), true, &err));
  put(&out, "a", "new");
  assert_true(output_commit(&out, &err));
  output_end(&out);
  struct stat st;
  assert_int_equal(lstat(scratch_path("out"), &st), 0);
  assert_true(S_ISLNK(st.st_mode));
  expect_content(scratch_path("disk/a"), "new");
  assert_int_equal(names_in(scratch_path("disk")), 1);
}

static void impossible_outputs(void **state)
{
  (void)state;
  struct output out;
  scratch_file("file", "f", 1);
  static const char *const paths[] = {"file", "file/out"};
  for (size_t i = 0; i < 2; i++) {
    struct error err = {0};
    assert_false(output_begin(&out, scratch_path(paths[i]), true, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    output_end(&out);
  }
  struct error root = {0}, none = {0};
  assert_false(output_begin(&out, "/", true, &root));
  assert_false(output_begin(&out, "", true, &none));
  expect_content(scratch_path("file"), "f");

  struct error err = {0};
  char path[512], small[8];
  assert_true(output_begin(&out, scratch_path("out"), false, &err));
  static const char *const names[] = {"../x", "/x", "", "a/../../x"};
  for (size_t i = 0; i < 4; i++) {
    struct error bad = {0};
    assert_false(output_path(&out, names[i], path, sizeof path, &bad));
    assert_int_equal(bad.code, ERROR_FAILED);
  }
  assert_false(output_path(&out, "x", small, sizeof small, &err));
  output_end(&out);
}

static bool whole_output(const char *path, struct error *err)
{
  struct output out;
  char inner[512];
  bool ok = output_begin(&out, path, true, err) && output_path(&out, "a", inner, sizeof inner, err) &&
            file_write(inner, "a", 1, err) && output_commit(&out, err);
  output_end(&out);
  return ok;
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  const char *path = scratch_path("out");
  FAULT_LOOP(whole_output(path, &err), (void)0);
  FAULT_LOOP(whole_output(path, &err), (void)0); /* over what is there */
  assert_int_equal(names_in(scratch), 1);
}

static void digests(void **state)
{
  (void)state;
  char hex[65]; /* examples of FIPS 180-2, appendix B */
  assert_true(file_sha256("abc", 3, hex));
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_true(file_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex));
  assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  assert_true(file_sha256(NULL, 0, hex));
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* Whether the page that holds `at` is in this process's memory: bit 63 of its entry. */
static bool is_present(const void *at)
{
  const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t entry = 0;
  const off_t place = (off_t)((uintptr_t)at / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof entry);
  assert_int_equal(pread(fd, &entry, sizeof entry, place), sizeof entry);
  close(fd);
  return entry >> 63;
}

static void pages_are_handed_back(void **state)
{
  (void)state;
  enum { BYTES = 1 << 20 };
  static unsigned char bytes[BYTES];
  struct error err = {0};
  struct file_map map;
  for (size_t i = 0; i < BYTES; i++)
    bytes[i] = (unsigned char)(i * 31 % 251);
  assert_true(file_write("big", bytes, BYTES, &err));
  assert_true(file_map("big", 0, &map, &err));
  assert_memory_equal(map.data, bytes, BYTES);
  const unsigned char *middle = map.data + BYTES / 2 + 5;
  /* Not what is not all of the mapping, wherever it begins. */
  file_release(&map, map.data + BYTES - 1, 2);
  file_release(&map, map.data - 1, BYTES);
  file_release(&map, map.data, SIZE_MAX);
  file_release(&map, bytes, BYTES);
  file_release(&(struct file_map){0}, bytes, BYTES);
  assert_true(is_present(middle));
  assert_int_equal(bytes[BYTES - 1], (BYTES - 1) * 31 % 251);
  file_release(&map, middle, 1);
  assert_false(is_present(middle));
  assert_true(is_present(map.data));
  file_release(&map, map.data, BYTES);
  assert_false(is_present(map.data));
  assert_false(is_present(map.data + BYTES - 1));
  assert_memory_equal(map.data, bytes, BYTES);
  file_unmap(&map);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_SCRATCH(maps_whole_files),
      IN_SCRATCH(pages_are_handed_back),
      IN_SCRATCH(refuses_what_is_no_file),
      IN_SCRATCH(stays_inside_the_folder),
      IN_SCRATCH(stays_inside_without_openat2),
      IN_SCRATCH(writes_whole),
      IN_SCRATCH(failed_writes_leave_nothing),
      IN_SCRATCH(temporary_names_in_use_are_passed_over),
      IN_SCRATCH(lists_sorted),
      IN_SCRATCH(lists_without_memory),
      IN_SCRATCH(output_appears_at_once),
      IN_SCRATCH(abandoned_output_leaves_nothing),
      IN_SCRATCH(full_folders_are_kept_unless_replaced),
      IN_SCRATCH(folder_filled_meanwhile_is_kept),
      IN_SCRATCH(linked_folder_stays_linked),
      IN_SCRATCH(impossible_outputs),
      IN_SCRATCH(survives_want_of_memory),
      cmocka_unit_test(digests),
  };
  return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
