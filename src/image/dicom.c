/* SPDX-License-Identifier: Apache-2.0 */
/* DICOM (PS3.10, section 7.1: a preamble of 128 bytes, then "DICM") where no reader is built in: known, and refused by
 * name, so that nobody takes the file for a broken picture. */
#include "image/image.h"

#include <string.h>

enum { PREAMBLE = 128 };

static bool detect(const unsigned char *bytes, size_t size)
{
  return size >= PREAMBLE + 4 && memcmp(bytes + PREAMBLE, "DICM", 4) == 0;
}

static bool decode(const unsigned char *bytes, size_t size, struct image *image, struct error *err)
{
  (void)bytes;
  (void)size;
  (void)image;
  return error_set(err, ERROR_FAILED, "a DICOM file, which this build does not read; convert it to PNG");
}

const struct codec codec_dicom = {.name = "DICOM", .detect = detect, .decode = decode};
