// SPDX-License-Identifier: GPL-2.0-or-later
#include "histogram.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S  (1000 * MS)

const uint64_t histogram_bounds[HISTOGRAM_BOUNDS] = {
    100 * US, 250 * US, 500 * US, 1 * MS,   2500 * US, 5 * MS,   10 * MS,   25 * MS, 50 * MS,
    100 * MS, 250 * MS, 500 * MS, 1 * S,    2500 * MS, 5 * S,    10 * S,    25 * S,  50 * S,
    100 * S,  250 * S,  500 * S,  1000 * S, 2500 * S,  5000 * S, 10000 * S,
};

size_t histogram_index(uint64_t ns)
{
	size_t low = 0, high = HISTOGRAM_BOUNDS;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (ns <= histogram_bounds[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
