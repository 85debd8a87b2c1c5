/* SPDX-License-Identifier: Apache-2.0 */
/* What every test program includes: cmocka with the headers it wants before it. */
#ifndef PENUMBRA_TESTS_UNIT_H
#define PENUMBRA_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
