"""Devices that are made up: an asynchronous queue with its own time, noise and faults.

They stand in for hardware in tests, and their true times are known, so that the harness itself can
be judged. Time passes only where the device says so: nothing sleeps. Needs neither torch nor numpy.
Must not know the harness.
"""

from crossgrade.targets.simulated.device import SimulatedDevice as SimulatedDevice
from crossgrade.targets.simulated.faults import FAULTS as FAULTS
from crossgrade.targets.simulated.faults import Faults as Faults
from crossgrade.targets.simulated.noise import NoiseModel as NoiseModel
from crossgrade.targets.simulated.opening import open_faulty as open_faulty
from crossgrade.targets.simulated.opening import open_null as open_null
from crossgrade.targets.simulated.opening import open_replay as open_replay
from crossgrade.targets.simulated.opening import open_simulated as open_simulated
from crossgrade.targets.simulated.timeline import FREE as FREE
from crossgrade.targets.simulated.timeline import HostCosts as HostCosts
