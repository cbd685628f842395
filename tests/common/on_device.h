/* What the tests on a device share: the device, open from one test's setup to its teardown, and the check of a call. */
#ifndef CLN_TEST_ON_DEVICE_H
#define CLN_TEST_ON_DEVICE_H

#include <check.h>

#include "device.h"

extern cln_device *dev;
extern cln_error err;

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

void device_open(void);
void device_close(void); /* keeps the compiled kernels for the next one */

#endif
