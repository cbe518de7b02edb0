/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "array.h"

#include <stdlib.h>
#include <string.h>

/* memcpy(): `array` is the address of a pointer to whatever the items are. */
void *array_grow(void *array, size_t n, size_t size)
{
	void *items_;

	memcpy(&items_, array, sizeof(items_));
	/* Doubled at every power of two: a long list costs as little as a short one. */
	if ((n & (n - 1)) == 0) {
		items_ = reallocarray(items_, n ? n * 2 : 1, size);
		if (!items_)
			return NULL;
		memcpy(array, &items_, sizeof(items_));
	}
	return memset((char *)items_ + n * size, 0, size);
}
