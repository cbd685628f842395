/* Tables of choices (tune.h) as lists: a device's, which `clnorm tune` leaves in the user's cache folder, and a run's,
 * which its config.json holds. The built-in one is cl/tune.table.
 *
 * A device's table is a text: its first line has the key that tells apart devices, drivers, versions of clnorm and kernel
 * sources, its last one says that it is whole. Functions return 0 or a negative CLN_ERR_* code. */
#ifndef CLN_TUNING_H
#define CLN_TUNING_H

#include "plan.h"

/* Reads lines; comments and blanks are allowed. CLN_ERR_DATA names the line that is none, CLN_ERR_MEMORY. *out is the
 * caller's: cln_tuning_free (NULL is allowed). */
int cln_tuning_parse(const char *text, size_t n, cln_tuning **out, cln_error *err);
void cln_tuning_free(cln_tuning *t);

/* Puts a line in: in the place of the one for the same, else before all others. */
int cln_tuning_put(cln_tuning *t, const cln_tune_line *line, cln_error *err);

/* Its lines as text; malloc'ed, NULL: out of memory. */
char *cln_tuning_text(const cln_tuning *t);

/* What a plan was made of, as a table that makes the same plan again: a line for each direction of each shape, and one
 * for the images at a time. */
int cln_tuning_of_plan(const cln_plan *plan, cln_tuning **out, cln_error *err);

/* Sets dev->tuning at the first call, from the cache folder; an empty table where there is none there. One that is damaged
 * or another device's is left alone and `notice` told. Whoever makes a plan or a lone layer calls this. */
int cln_tuning_load(cln_device *dev, cln_error *err);

/* Takes `t` over as the device's table, for the plans made from now on; NULL: the one in the cache folder again. */
void cln_tuning_use(cln_device *dev, cln_tuning *t);

/* Whether nobody has measured on such a device: safe choices are made, not good ones. */
bool cln_tuning_unknown(cln_device *dev);

/* Where the device's table is in the cache folder. CLN_ERR_IO: no folder is named by the environment. */
int cln_tuning_path(const cln_device *dev, char path[], size_t size, cln_error *err);

/* Writes it there, atomically. */
int cln_tuning_store(const cln_device *dev, const cln_tuning *t, cln_error *err);

#endif
