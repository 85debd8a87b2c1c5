/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the fuzzing engine: feeds every file of the given folders to the target once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int rerun(const char *folder)
{
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, alphasort), done = 0;
  if (count < 0) {
    perror(folder);
    return -1;
  }
  for (int i = 0; i < count; i++) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    FILE *file = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
    if (file) {
      enum { MOST = 16 << 20 };
      uint8_t *data = malloc(MOST);
      size_t size = data ? fread(data, 1, MOST, file) : 0;
      uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees a step too far */
      if (!data || !exact)
        abort();
      memcpy(exact, data, size);
      (void)printf("# %s\n", path);
      (void)fflush(stdout);
      (void)LLVMFuzzerTestOneInput(exact, size);
      free(exact);
      free(data);
      (void)fclose(file);
      done++;
    }
    free(entries[i]);
  }
  free(entries);
  return done;
}

int main(int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    int done = rerun(argv[i]);
    if (done <= 0)
      return 1;
    (void)printf("ok %d - %d files of %s\n", i, done, argv[i]);
  }
  (void)printf("1..%d\n", argc - 1);
  return argc > 1 ? 0 : 1;
}
