/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What PROXY headers look like on the wire: for their reader and their writer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define V1_SIGNATURE      "PROXY "
#define V1_SIGNATURE_SIZE (sizeof(V1_SIGNATURE) - 1)

#define V2_SIGNATURE      "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_SIZE (sizeof(V2_SIGNATURE) - 1)
#define V2_HEADER         16
#define V2_VERSION        0x20 /* the upper half of the byte; the command is the lower one */
#define V2_LOCAL          0x0
#define V2_PROXY          0x1

/* Address family and transport (stream), and the bytes that the addresses take. */
#define V2_UNSPEC    0x00
#define V2_TCP4      0x11
#define V2_TCP6      0x21
#define V2_UNIX      0x31
#define V2_TCP4_SIZE 12
#define V2_TCP6_SIZE 36
#define V2_UNIX_SIZE 216
#define V2_UNIX_PATH 108

#define TLV_HEADER    3
#define TLV_ALPN      0x01
#define TLV_AUTHORITY 0x02
#define TLV_CRC32C    0x03
#define TLV_NOOP      0x04
#define TLV_UNIQUE_ID 0x05

#define CRC_SIZE 4

/* CRC-32C of n bytes; crc is UINT32_MAX at first, and the checksum is the last one's complement. */
uint32_t proxy_crc32c(uint32_t crc, const uint8_t *p, size_t n);
