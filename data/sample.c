/* The sample travels in the library: the assembler copies the file in, which costs no compile time
 * however large it is. The build defines CLN_SAMPLE_FILE, the path of cifar-10-sample.tar.gz. */
#include "reader.h"

#ifndef CLN_SAMPLE_FILE
#error "define CLN_SAMPLE_FILE as the path of data/cifar-10-sample.tar.gz, in quotes"
#endif
#ifndef __ELF__
#error "the sample is embedded with ELF assembler directives: another object format needs its own"
#endif

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".global cln_sample_begin\n"
        ".hidden cln_sample_begin\n"
        "cln_sample_begin:\n"
        ".incbin \"" CLN_SAMPLE_FILE "\"\n"
        ".global cln_sample_end\n"
        ".hidden cln_sample_end\n"
        "cln_sample_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const unsigned char cln_sample_begin[] __attribute__((visibility("hidden")));
extern const unsigned char cln_sample_end[] __attribute__((visibility("hidden")));

void cln_sample_bytes(const void **bytes, size_t *size)
{
    *bytes = cln_sample_begin;
    *size = (size_t)((uintptr_t)cln_sample_end - (uintptr_t)cln_sample_begin);
}
