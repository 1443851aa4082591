# The two ways in, and the tables that 64-bit mode needs. Both end in probe_main(protocol, information).
#
# pvh_entry: 32-bit protected mode without paging, flat segments, %ebx = hvm_start_info (QEMU, Cloud Hypervisor, Firecracker).
# linux_entry: 64-bit mode with the VMM's own page tables, %rsi = boot_params (Firecracker before it knew PVH).

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18                      # sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry

    .section .text.entry, "ax"
    .code32
    .globl pvh_entry
pvh_entry:
    cli
    cld
    movl $page_map, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax                     # physical address extension
    movl %eax, %cr4
    movl $0xc0000080, %ecx              # the extended feature register
    rdmsr
    orl $0x100, %eax                    # long mode
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax               # paging
    movl %eax, %cr0
    lgdt segment_pointer
    ljmpl $8, $pvh_long_mode

    .code64
pvh_long_mode:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %edi, %edi                     # PVH
    movl %ebx, %esi                     # and clears the upper half
    jmp common

    .globl linux_entry
linux_entry:
    cli
    cld
    movl $page_map, %eax                # this code is mapped one to one before and after
    movq %rax, %cr3
    movl $1, %edi                       # Linux; %rsi is there already

common:
    leaq stack_end(%rip), %rsp
    xorl %ebp, %ebp
    call probe_main
    ud2

    .section .data.tables, "aw"
    .balign 8
segments:
    .quad 0
    .quad 0x00af9a000000ffff            # 64-bit code
    .quad 0x00cf92000000ffff            # data
segment_pointer:
    .word . - segments - 1
    .long segments

# All memory below 4 GiB, one to one, in pages of 2 MiB: constants, so that an interpreted guest need not compute them.
    .balign 4096
page_map:
    .quad page_directory_pointers + 3   # present, writable
    .fill 511, 8, 0
page_directory_pointers:
    .quad page_directories + 0x0003
    .quad page_directories + 0x1003
    .quad page_directories + 0x2003
    .quad page_directories + 0x3003
    .fill 508, 8, 0
page_directories:
    .set address, 0
    .rept 2048
    .quad address + 0x83                # present, writable, large
    .set address, address + 0x200000
    .endr

    .section .bss.stack, "aw", @nobits
    .balign 16
    .fill 16384, 1, 0
stack_end:
