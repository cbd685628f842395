#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

const char *cln_error_name(int code)
{
#define CLN_ERROR_CASE(name, value, text)                                                          \
    case (value):                                                                                  \
        return text;
    switch (code) {
    case CLN_OK:
        return "ok";
        CLN_ERROR_TABLE(CLN_ERROR_CASE)
    default:
        return "unknown error";
    }
#undef CLN_ERROR_CASE
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The text goes to a person as one line, whatever a driver or a file put into its arguments. */
static void make_one_line(char *text)
{
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = '\0';
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
        else if ((unsigned char)*p < ' ' || *p == 0x7f) /* nothing that a terminal would obey */
            *p = '?';
}

int cln_error_set(cln_error *err, int code, const char *file, int line, const char *fmt, ...)
{
    if (!err)
        return code;

    /* Formatted aside first: an argument may be err->text itself, when a caller adds context. */
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    make_one_line(text);

    /* A caller that adds context to a build error keeps the compiler's log. */
    if (!(code == CLN_ERR_BUILD && err->code == CLN_ERR_BUILD))
        err->log[0] = '\0';
    err->code = code;
    memcpy(err->text, text, sizeof text);
    snprintf(err->where, sizeof err->where, "%s:%d", base_name(file), line);
    return code;
}

static const char *cl_advice(int status)
{
    switch (status) {
    case CL_OUT_OF_HOST_MEMORY:
        return "close other programs, or try a smaller batch";
    case CL_OUT_OF_RESOURCES:
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return "try a smaller batch, or another device (clnorm devices)";
    default:
        return "if it happens again, try another device (clnorm devices) or a newer driver";
    }
}

int cln_error_cl(cln_error *err, int status, const char *call, const char *file, int line)
{
    int code = CLN_ERR_CL;
    if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE)
        code = CLN_ERR_DEVICE_MEMORY;
    else if (status == CL_OUT_OF_HOST_MEMORY)
        code = CLN_ERR_MEMORY;
    return cln_error_set(err, code, file, line, "%s: %s (%d); %s", call, cln_cl_status_name(status),
                         status, cl_advice(status));
}

const char *cln_cl_status_name(int status)
{
    static const struct {
        int status;
        const char *name;
    } table[] = {
#define S(name) {name, #name}
        S(CL_SUCCESS),
        S(CL_DEVICE_NOT_FOUND),
        S(CL_DEVICE_NOT_AVAILABLE),
        S(CL_COMPILER_NOT_AVAILABLE),
        S(CL_MEM_OBJECT_ALLOCATION_FAILURE),
        S(CL_OUT_OF_RESOURCES),
        S(CL_OUT_OF_HOST_MEMORY),
        S(CL_PROFILING_INFO_NOT_AVAILABLE),
        S(CL_MEM_COPY_OVERLAP),
        S(CL_IMAGE_FORMAT_MISMATCH),
        S(CL_IMAGE_FORMAT_NOT_SUPPORTED),
        S(CL_BUILD_PROGRAM_FAILURE),
        S(CL_MAP_FAILURE),
        S(CL_MISALIGNED_SUB_BUFFER_OFFSET),
        S(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
        S(CL_COMPILE_PROGRAM_FAILURE),
        S(CL_LINKER_NOT_AVAILABLE),
        S(CL_LINK_PROGRAM_FAILURE),
        S(CL_DEVICE_PARTITION_FAILED),
        S(CL_KERNEL_ARG_INFO_NOT_AVAILABLE),
        S(CL_INVALID_VALUE),
        S(CL_INVALID_DEVICE_TYPE),
        S(CL_INVALID_PLATFORM),
        S(CL_INVALID_DEVICE),
        S(CL_INVALID_CONTEXT),
        S(CL_INVALID_QUEUE_PROPERTIES),
        S(CL_INVALID_COMMAND_QUEUE),
        S(CL_INVALID_HOST_PTR),
        S(CL_INVALID_MEM_OBJECT),
        S(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR),
        S(CL_INVALID_IMAGE_SIZE),
        S(CL_INVALID_SAMPLER),
        S(CL_INVALID_BINARY),
        S(CL_INVALID_BUILD_OPTIONS),
        S(CL_INVALID_PROGRAM),
        S(CL_INVALID_PROGRAM_EXECUTABLE),
        S(CL_INVALID_KERNEL_NAME),
        S(CL_INVALID_KERNEL_DEFINITION),
        S(CL_INVALID_KERNEL),
        S(CL_INVALID_ARG_INDEX),
        S(CL_INVALID_ARG_VALUE),
        S(CL_INVALID_ARG_SIZE),
        S(CL_INVALID_KERNEL_ARGS),
        S(CL_INVALID_WORK_DIMENSION),
        S(CL_INVALID_WORK_GROUP_SIZE),
        S(CL_INVALID_WORK_ITEM_SIZE),
        S(CL_INVALID_GLOBAL_OFFSET),
        S(CL_INVALID_EVENT_WAIT_LIST),
        S(CL_INVALID_EVENT),
        S(CL_INVALID_OPERATION),
        S(CL_INVALID_GL_OBJECT),
        S(CL_INVALID_BUFFER_SIZE),
        S(CL_INVALID_MIP_LEVEL),
        S(CL_INVALID_GLOBAL_WORK_SIZE),
        S(CL_INVALID_PROPERTY),
        S(CL_INVALID_IMAGE_DESCRIPTOR),
        S(CL_INVALID_COMPILER_OPTIONS),
        S(CL_INVALID_LINKER_OPTIONS),
        S(CL_INVALID_DEVICE_PARTITION_COUNT),
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
#undef S
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].name;
    return "unknown OpenCL status";
}
