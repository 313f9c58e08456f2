/* What every unit test includes: cmocka and two assertions about fv_err. */
#ifndef FOVEA_TEST_H
#define FOVEA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fovea/base/error.h"

/* The call succeeds; else its sentence is printed. */
#define assert_ok(call)                                                                              \
    do {                                                                                             \
        fv_err assert_err_ = (call);                                                                 \
        if (assert_err_ != FV_OK)                                                                    \
            fail_msg("%s: %s (in %s)", fv_err_name(assert_err_), fv_error_text(), fv_error_trace()); \
    } while (0)

/* The call fails with code, and its sentence contains part. */
#define assert_fails(call, code, part)                                           \
    do {                                                                         \
        assert_int_equal((call), (code));                                        \
        if (!strstr(fv_error_text(), (part)))                                    \
            fail_msg("\"%s\" does not contain \"%s\"", fv_error_text(), (part)); \
    } while (0)

#endif
