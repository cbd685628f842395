/* A list for messages: "bn, ln, gn". */
#ifndef CLN_NAMES_H
#define CLN_NAMES_H

typedef struct cln_names {
    char text[400]; /* begins as "" */
} cln_names;

/* What does not fit becomes "..." */
void cln_names_add(cln_names *names, const char *name);

#endif
