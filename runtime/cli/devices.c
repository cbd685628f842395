/* clnorm devices: what OpenCL devices there are, and whether they work. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "../program.h"
#include "cli.h"

static void print_help(void)
{
    printf("usage: clnorm devices [--json]\n"
           "\n"
           "Lists every device of every OpenCL platform. --device of the other commands takes the\n"
           "index, platform:number, a type (cpu, gpu, accelerator) or a part of the name.\n"
           "The probe builds a small kernel, runs it and checks its results.\n"
           "\n"
           "options:\n"
           "  --json  print JSON: {\"devices\": [{\"index\", \"platform\", \"number\", \"name\", "
           "...}]}; "
           "sizes in bytes\n"
           "  --help  print this\n");
}

static const char *type_name(cl_device_type type)
{
    switch (type) {
    case CL_DEVICE_TYPE_CPU:
        return "cpu";
    case CL_DEVICE_TYPE_GPU:
        return "gpu";
    case CL_DEVICE_TYPE_ACCELERATOR:
        return "accelerator";
    default:
        return type & CL_DEVICE_TYPE_CPU ? "cpu and others" : "other";
    }
}

static int probe(const cln_device_info *info, cln_error *err)
{
    cln_device *dev = NULL;
    int code = cln_device_open_listed(info, false, &dev, err);
    if (!code)
        code = cln_device_probe(dev, err);
    if (!code)
        cln_program_cache_save(dev);
    cln_device_close(dev);
    return code;
}

static void print_text(const cln_device_info *d, int code, const cln_error *err)
{
    const double mib = 1024.0 * 1024.0;
    printf("%d  %s\n", d->index, d->name);
    printf("   %d:%d  %s, %u compute units, float vector width %u\n", d->platform, d->number,
           type_name(d->type), d->compute_units, d->vector_width);
    printf("   platform %s, driver %s, %s\n", d->platform_name, d->driver, d->version);
    printf("   memory %.0f MiB, largest buffer %.0f MiB, local %.0f KiB%s\n",
           (double)d->global_mem / mib, (double)d->max_alloc / mib, (double)d->local_mem / 1024.0,
           d->local_is_global ? " (in ordinary memory)" : "");
    if (code)
        printf("   probe failed: %s\n", err->text);
    else
        printf("   probe ok\n");
}

static json_t *to_json(const cln_device_info *d, int code, const cln_error *err)
{
    return json_pack("{s:i, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:b, "
                     "s:b, s:s?, s:s*}",
                     "index", d->index, "platform", d->platform, "number", d->number, "name",
                     d->name, "type", type_name(d->type), "vendor", d->vendor, "platform_name",
                     d->platform_name, "driver", d->driver, "version", d->version, "compute_units",
                     (int)d->compute_units, "vector_width", (int)d->vector_width, "global_mem",
                     (json_int_t)d->global_mem, "max_alloc", (json_int_t)d->max_alloc, "local_mem",
                     (json_int_t)d->local_mem, "unified", (int)d->unified, "probe", code == CLN_OK,
                     "probe_error", code ? err->text : NULL, "simulated",
                     d->simulated[0] ? d->simulated : NULL);
}

static int list_devices(bool json)
{
    cln_error err = {0};
    cln_device_info *list = NULL;
    size_t count = 0;
    int status = CLN_EXIT_OK;
    bool whole = true;

    if (cln_device_list(&list, &count, &err))
        return cln_cli_fail(&err);
    json_t *devices = json_array();
    for (size_t i = 0; i < count; i++) {
        cln_error why = {0};
        int code = probe(&list[i], &why);
        if (!json)
            print_text(&list[i], code, &why);
        else
            whole = !json_array_append_new(devices, to_json(&list[i], code, &why)) && whole;
    }
    if (json)
        status = cln_cli_print_json(whole ? json_pack("{s:O}", "devices", devices) : NULL);
    json_decref(devices);
    free(list);
    return status;
}

int cln_cmd_devices(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'h':
            print_help();
            return CLN_EXIT_OK;
        default:
            return CLN_EXIT_USAGE;
        }
    }
    if (optind < argc)
        return cln_cli_usage("devices", "unexpected argument \"%s\"", argv[optind]);
    return list_devices(json);
}
