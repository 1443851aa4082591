#!/bin/sh
# Stands in for QEMU. Tests link to it under QEMU's name and put what it shall do into `behaviour` beside the
# link: a script that is never written to cannot be "busy" when another test forks at the wrong moment.
. "${0%/*}/behaviour"
