// The sandbox's process on aarch64: waits for signals, reaps what is orphaned to it, ends on SIGTERM and SIGINT.
// Build: aarch64-linux-gnu-as -o p.o pause-arm64.S && aarch64-linux-gnu-ld -n -N --build-id=none -z noseparate-code -s -o pause p.o
// The bytes are in ../pause-image.ts.
.globl _start
_start:
    mov x8, #135            // rt_sigprocmask(SIG_BLOCK, &set, 0, 8): blocked signals reach even process 1
    mov x0, #0
    adr x1, set
    mov x2, #0
    mov x3, #8
    svc #0
wait:
    mov x8, #137            // rt_sigtimedwait(&set, 0, 0, 8)
    adr x0, set
    mov x1, #0
    mov x2, #0
    mov x3, #8
    svc #0
    cmp x0, #17             // SIGCHLD
    b.eq reap
    cmp x0, #15             // SIGTERM
    b.eq leave
    cmp x0, #2              // SIGINT
    b.eq leave
    b wait
reap:
    mov x8, #260            // wait4(-1, 0, WNOHANG, 0) until nothing is left
    mov x0, #-1
    mov x1, #0
    mov x2, #1
    mov x3, #0
    svc #0
    cmp x0, #0
    b.gt reap
    b wait
leave:
    mov x8, #94             // exit_group(0)
    mov x0, #0
    svc #0
.balign 8
set: .quad 0x14002          // SIGINT, SIGTERM, SIGCHLD
