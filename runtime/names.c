#include "names.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void cln_names_add(cln_names *names, const char *name)
{
    const size_t used = strlen(names->text), room = sizeof names->text - used;
    if (used >= 5 && strcmp(names->text + used - 5, ", ...") == 0)
        return;
    const bool fits = strlen(name) + sizeof ", , ..." <= room;
    (void)snprintf(names->text + used, room, "%s%s", used ? ", " : "", fits ? name : "...");
}
