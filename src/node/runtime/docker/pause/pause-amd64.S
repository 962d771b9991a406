# The sandbox's process on x86_64: waits for signals, reaps what is orphaned to it, ends on SIGTERM and SIGINT.
# Build: as -o p.o pause-amd64.S && ld -n -N --build-id=none -z noseparate-code -s -o pause p.o && strip --strip-section-headers pause
# The bytes are in ../pause-image.ts.
.globl _start
_start:
    mov $14, %eax           # rt_sigprocmask(SIG_BLOCK, &set, 0, 8): blocked signals reach even process 1
    xor %edi, %edi
    lea set(%rip), %rsi
    xor %edx, %edx
    mov $8, %r10d
    syscall
wait:
    mov $128, %eax          # rt_sigtimedwait(&set, 0, 0, 8)
    lea set(%rip), %rdi
    xor %esi, %esi
    xor %edx, %edx
    mov $8, %r10d
    syscall
    cmp $17, %eax           # SIGCHLD
    je reap
    cmp $15, %eax           # SIGTERM
    je leave
    cmp $2, %eax            # SIGINT
    je leave
    jmp wait
reap:
    mov $61, %eax           # wait4(-1, 0, WNOHANG, 0) until nothing is left
    mov $-1, %rdi
    xor %esi, %esi
    mov $1, %edx
    xor %r10d, %r10d
    syscall
    cmp $0, %rax
    jg reap
    jmp wait
leave:
    mov $231, %eax          # exit_group(0)
    xor %edi, %edi
    syscall
.balign 8
set: .quad 0x14002          # SIGINT, SIGTERM, SIGCHLD
