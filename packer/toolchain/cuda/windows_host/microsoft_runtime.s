# The four names that NVIDIA's CUDA runtime, compiled by Microsoft's compiler, expects of that compiler's own library.
#
# A function that keeps text on its stack puts a number there and has it compared at its end; when it differs, the
# program is ended as Windows defines it (__fastfail with FAST_FAIL_STACK_COOKIE_CHECK_FAILURE). The comparison must
# leave every register as it is. The handler looks only at exceptions that pass through, and passes them on.
        .intel_syntax noprefix
        .text
        .globl  __security_check_cookie
__security_check_cookie:
        cmp     rcx, qword ptr [rip + __security_cookie]
        jne     different
        ret
different:
        mov     ecx, 2
        int     0x29

        .globl  __GSHandlerCheck
__GSHandlerCheck:
        mov     eax, 1
        ret

        .data
        .balign 8
        .globl  __security_cookie
__security_cookie:
        .quad   0x2B992DDFA232
        .globl  _fltused
_fltused:
        .long   0x9875
