/* One text in two forms: a self-contained HTML page with its pictures inline, and Markdown with the pictures beside it.
 * Texts are UTF-8 (anything else becomes '?') and escaped in both; CLN_STRONG and CLN_WEAK switch bold on and off.
 * Nothing is written before close; the first failure is kept until then. */
#ifndef CLN_DOCUMENT_H
#define CLN_DOCUMENT_H

#include "error.h"

#define CLN_STRONG "\x01"
#define CLN_WEAK   "\x02"

typedef struct cln_document cln_document;

/* Will write DIR/NAME.html and DIR/NAME.md. CLN_ERR_MEMORY. */
int cln_document_new(const char *dir, const char *name, const char *title, cln_document **out, cln_error *err);

void cln_document_heading(cln_document *d, const char *text);
void cln_document_paragraph(cln_document *d, const char *fmt, ...) CLN_PRINTF(2, 3);
/* A paragraph that stands out. */
void cln_document_notice(cln_document *d, const char *fmt, ...) CLN_PRINTF(2, 3);
/* Items in a row make one list. */
void cln_document_item(cln_document *d, const char *fmt, ...) CLN_PRINTF(2, 3);
/* Lines to be typed into a shell. */
void cln_document_code(cln_document *d, const char *text);

/* A table: its n columns, for each 'l' or 'r' in `align`; then rows with as many cells. */
void cln_document_table(cln_document *d, const char *const *columns, const char *align, int n);
void cln_document_row(cln_document *d, const char *const *cells);

/* The PNG DIR/NAME-FILE, which is there already; shown `width` pixels wide where there is room. */
void cln_document_picture(cln_document *d, const char *file, int width, const char *caption);

/* Path of such a picture. */
int cln_document_path(const cln_document *d, const char *file, char *path, size_t size, cln_error *err);

/* Writes both files, unless rc is an error already, and frees. Returns rc or the error. NULL is allowed. */
int cln_document_close(cln_document *d, int rc, cln_error *err);

#endif
