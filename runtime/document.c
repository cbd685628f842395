#include "document.h"

#include "base64.h"
#include "file.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { STRONG = 1, WEAK = 2 }; /* the characters of CLN_STRONG and CLN_WEAK */
enum { MAX_COLUMNS = 48, MAX_TEXT = 4096, MAX_PICTURE = 32 << 20 };

typedef enum { BLOCK_NONE, BLOCK_LIST, BLOCK_TABLE } block;

struct cln_document {
    char dir[CLN_PATH_MAX], name[64];
    FILE *html, *md; /* in memory */
    char *html_text, *md_text;
    size_t html_size, md_size;
    block open;      /* what the next piece has to end */
    int columns;
    char align[MAX_COLUMNS];
    int rc;
    cln_error err;
};

/* ---- escaping ------------------------------------------------------------------------------------ */

static void put_html(FILE *f, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        const int n = cln_utf8_length((const char *)s);
        switch (*s) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        case STRONG: fputs("<strong>", f); break;
        case WEAK: fputs("</strong>", f); break;
        default:
            if (n == 0 || (*s < ' ' && *s != '\n') || *s == 127)
                fputc('?', f);
            else
                fwrite(s, 1, (size_t)n, f);
        }
        s += n ? n : 1;
    }
}

static void put_md(FILE *f, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        const int n = cln_utf8_length((const char *)s);
        if (*s == STRONG || *s == WEAK)
            fputs("**", f);
        else if (n == 0 || *s < ' ' || *s == 127)
            fputc(*s == '\n' ? ' ' : '?', f);
        else if (n == 1 && strchr("\\`*_[]<>|#~", *s))
            fprintf(f, "\\%c", *s);
        else
            fwrite(s, 1, (size_t)n, f);
        s += n ? n : 1;
    }
}

/* ---- begin and end ------------------------------------------------------------------------------- */

/* Dark where the reader's system is; pictures stay on white paper; on paper no table or picture is torn apart. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d1d22;--soft:#5c5c66;--line:#d9d9df;--paper:#fff;--tint:#f5f6f8;--mark:#0072b2}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6ea;--soft:#a3a3ae;--line:#3b3b44;--paper:#17171b;--tint:#222228;"
    "--mark:#56b4e9}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\","
    "\"Liberation Sans\",sans-serif}\n"
    "main{max-width:64rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem}\n"
    "h2{font-size:1.3rem;margin:2.8rem 0 .8rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}\n"
    "p,li{max-width:48rem}\n"
    "li{margin:.35rem 0}\n"
    ".notice{border-left:4px solid var(--mark);background:var(--tint);padding:.7rem 1rem}\n"
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;margin:1rem 0;font-size:.88rem;font-variant-numeric:tabular-nums}\n"
    "thead th{border-bottom:2px solid var(--line);color:var(--soft);font-weight:600;vertical-align:bottom}\n"
    "th,td{padding:.4rem .6rem;text-align:left}\n"
    "th.r,td.r{text-align:right}\n"
    "td.r{white-space:nowrap}\n"
    "tbody tr+tr td{border-top:1px solid var(--line)}\n"
    "figure{margin:1.4rem 0}\n"
    "figure img{display:block;max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:6px}\n"
    "figcaption{color:var(--soft);font-size:.9rem;margin-top:.5rem;max-width:48rem}\n"
    "pre{background:var(--tint);padding:.8rem 1rem;overflow-x:auto;border-radius:6px;font-size:.88rem}\n"
    "@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--tint:#f3f3f3}body{font-size:10.5pt}"
    "main{max-width:none;padding:0}figure,table,pre,.notice{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}}\n";

static void note(cln_document *d, int rc, const cln_error *err)
{
    if (d->rc)
        return;
    d->rc = rc;
    d->err = *err;
}

int cln_document_new(const char *dir, const char *name, const char *title, cln_document **out, cln_error *err)
{
    cln_document *d = calloc(1, sizeof *d);
    if (!d)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for a report");
    int rc = cln_path_join(d->dir, sizeof d->dir, "", dir, err);
    snprintf(d->name, sizeof d->name, "%s", name);
    d->html = rc ? NULL : open_memstream(&d->html_text, &d->html_size);
    d->md = rc ? NULL : open_memstream(&d->md_text, &d->md_size);
    if (!rc && (!d->html || !d->md))
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for a report");
    if (rc)
        return cln_document_close(d, rc, err);
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", d->html);
    put_html(d->html, title);
    fprintf(d->html, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
    put_html(d->html, title);
    fputs("</h1>\n", d->html);
    fputs("# ", d->md);
    put_md(d->md, title);
    fputs("\n", d->md);
    *out = d;
    return CLN_OK;
}

/* Ends an open list or table unless it goes on. */
static void change(cln_document *d, block to)
{
    if (d->open == BLOCK_LIST && to != BLOCK_LIST)
        fputs("</ul>\n", d->html);
    if (d->open == BLOCK_TABLE)
        fputs("</tbody>\n</table></div>\n", d->html);
    if (to == BLOCK_LIST && d->open != BLOCK_LIST)
        fputs("<ul>\n", d->html);
    if (to != BLOCK_LIST || d->open != BLOCK_LIST)
        fputs("\n", d->md);
    d->open = to;
}

static int write_file(const cln_document *d, const char *end, const char *text, size_t n, cln_error *err)
{
    char path[CLN_PATH_MAX], name[80];
    snprintf(name, sizeof name, "%s.%s", d->name, end);
    int rc = cln_path_join(path, sizeof path, d->dir, name, err);
    return rc ? rc : cln_file_write_atomic(path, text, n, err);
}

int cln_document_close(cln_document *d, int rc, cln_error *err)
{
    if (!d)
        return rc;
    if (!rc && d->rc) {
        *err = d->err;
        rc = d->rc;
    }
    if (d->html && d->md) {
        change(d, BLOCK_NONE);
        fputs("</main>\n</body>\n</html>\n", d->html);
    }
    bool whole = true;
    if (d->html)
        whole = fclose(d->html) == 0 && whole;
    if (d->md)
        whole = fclose(d->md) == 0 && whole;
    if (!rc && !whole)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for a report");
    if (!rc)
        rc = write_file(d, "html", d->html_text, d->html_size, err);
    if (!rc)
        rc = write_file(d, "md", d->md_text, d->md_size, err);
    free(d->html_text);
    free(d->md_text);
    free(d);
    return rc;
}

/* ---- pieces -------------------------------------------------------------------------------------- */

static void put_piece(cln_document *d, const char *before, const char *text, const char *after, const char *md)
{
    fputs(before, d->html);
    put_html(d->html, text);
    fputs(after, d->html);
    fputs(md, d->md);
    put_md(d->md, text);
    fputs("\n", d->md);
}

void cln_document_heading(cln_document *d, const char *text)
{
    change(d, BLOCK_NONE);
    put_piece(d, "<h2>", text, "</h2>\n", "## ");
}

/* The functions with a format differ in what is around their text. */
#define FORMATTED(to, before, after, md)                                                                                         \
    char text[MAX_TEXT];                                                                                                         \
    va_list args;                                                                                                                \
    va_start(args, fmt);                                                                                                         \
    vsnprintf(text, sizeof text, fmt, args);                                                                                     \
    va_end(args);                                                                                                                \
    change(d, to);                                                                                                               \
    put_piece(d, before, text, after, md)

void cln_document_paragraph(cln_document *d, const char *fmt, ...)
{
    FORMATTED(BLOCK_NONE, "<p>", "</p>\n", "");
}

void cln_document_notice(cln_document *d, const char *fmt, ...)
{
    FORMATTED(BLOCK_NONE, "<p class=\"notice\">", "</p>\n", "> ");
}

void cln_document_item(cln_document *d, const char *fmt, ...)
{
    FORMATTED(BLOCK_LIST, "<li>", "</li>\n", "- ");
}

void cln_document_code(cln_document *d, const char *text)
{
    change(d, BLOCK_NONE);
    fputs("<pre>", d->html);
    put_html(d->html, text);
    fputs("</pre>\n", d->html);
    fprintf(d->md, "```\n%s\n```\n", text);
}

static void put_cells(cln_document *d, const char *const *cells, const char *tag)
{
    fputs("<tr>", d->html);
    fputs("|", d->md);
    for (int i = 0; i < d->columns; i++) {
        fprintf(d->html, d->align[i] == 'r' ? "<%s class=\"r\">" : "<%s>", tag);
        put_html(d->html, cells[i]);
        fprintf(d->html, "</%s>", tag);
        fputs(" ", d->md);
        put_md(d->md, cells[i]);
        fputs(" |", d->md);
    }
    fputs("</tr>\n", d->html);
    fputs("\n", d->md);
}

void cln_document_table(cln_document *d, const char *const *columns, const char *align, int n)
{
    change(d, BLOCK_TABLE);
    d->columns = n < MAX_COLUMNS ? n : MAX_COLUMNS;
    memcpy(d->align, align, (size_t)d->columns);
    fputs("<div class=\"scroll\"><table>\n<thead>\n", d->html);
    put_cells(d, columns, "th");
    fputs("</thead>\n<tbody>\n", d->html);
    fputs("|", d->md);
    for (int i = 0; i < d->columns; i++)
        fputs(d->align[i] == 'r' ? "---:|" : "---|", d->md);
    fputs("\n", d->md);
}

void cln_document_row(cln_document *d, const char *const *cells) { put_cells(d, cells, "td"); }

int cln_document_path(const cln_document *d, const char *file, char *path, size_t size, cln_error *err)
{
    char name[160];
    snprintf(name, sizeof name, "%s-%s", d->name, file);
    return cln_path_join(path, size, d->dir, name, err);
}

void cln_document_picture(cln_document *d, const char *file, int width, const char *caption)
{
    char path[CLN_PATH_MAX];
    unsigned char *bytes = NULL;
    size_t n = 0;
    cln_error err = {0};
    int rc = cln_document_path(d, file, path, sizeof path, &err);
    if (!rc)
        rc = cln_file_read_all(path, MAX_PICTURE, &bytes, &n, &err);
    char *text = rc ? NULL : cln_base64_encode(bytes, n);
    if (!rc && !text)
        rc = CLN_FAIL(&err, CLN_ERR_MEMORY, "no memory for a report");
    if (rc) {
        note(d, rc, &err);
    } else {
        change(d, BLOCK_NONE);
        fprintf(d->html, "<figure><img width=\"%d\" src=\"data:image/png;base64,%s\" alt=\"", width, text);
        put_html(d->html, caption);
        fputs("\"><figcaption>", d->html);
        put_html(d->html, caption);
        fputs("</figcaption></figure>\n", d->html);
        fputs("![", d->md);
        put_md(d->md, caption);
        fprintf(d->md, "](%s-%s)\n\n", d->name, file);
        put_md(d->md, caption);
        fputs("\n", d->md);
    }
    free(text);
    free(bytes);
}
