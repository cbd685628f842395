#include "on_device.h"

#include "program.h"

cln_device *dev;
cln_error err;

void device_open(void)
{
    err = (cln_error){0};
    OK(cln_device_open(NULL, false, &dev, &err));
}

void device_close(void)
{
    cln_program_cache_save(dev);
    cln_device_close(dev);
}
