using Calico.Core.Bfd;
using CsCheck;

namespace Calico.Tests.Core.Bfd;

/// <summary>Two sessions with clocks that drift, and a network between that loses, repeats, reorders and delays.</summary>
[Layer("unit")]
public class BfdPairTests
{
    private sealed record World(int Seed, int IntervalA, int IntervalB, int MultiplierA, int MultiplierB, double DriftA, double DriftB,
        double Loss, double Repeat, double Delay);

    private static readonly Gen<World> Worlds =
        from seed in Gen.Int[0, int.MaxValue]
        from a in Gen.Int[10, 400]
        from b in Gen.Int[10, 400]
        from ma in Gen.Int[2, 6]
        from mb in Gen.Int[2, 6]
        from da in Gen.Double[-0.01, 0.01]
        from db in Gen.Double[-0.01, 0.01]
        from loss in Gen.Double[0, 0.6]
        from repeat in Gen.Double[0, 0.5]
        from delay in Gen.Double[0, 0.4]
        select new World(seed, a, b, ma, mb, da, db, loss, repeat, delay);

    [Fact]
    public void They_come_up_stay_up_while_losses_are_below_the_multiplier_and_go_down_when_nothing_comes_through() =>
        Worlds.Sample(world =>
        {
            var pair = new Pair(world);
            pair.RunUntil(TimeSpan.FromSeconds(120), () => pair.IsSettled);
            Assert.True(pair.IsSettled, "up");

            // Packets of the time before are gone by then.
            pair.Run(TimeSpan.FromSeconds(1));
            var (downsA, downsB) = (pair.A.Session.Downs, pair.B.Session.Downs);
            pair.Run(TimeSpan.FromSeconds(60));
            Assert.Equal((downsA, downsB), (pair.A.Session.Downs, pair.B.Session.Downs));
            Assert.True(pair.IsSettled, "still up");

            var last = pair.Cut();
            pair.Run(TimeSpan.FromSeconds(10));
            foreach (var end in new[] { pair.A, pair.B })
            {
                Assert.Equal(BfdState.Down, end.Session.State);
                Assert.True(end.DownAt <= last + pair.MostDelay + (end.DetectionTime * 1.02), $"down at {end.DownAt}, cut at {last}, {end.DetectionTime}");
            }
        }, iter: 200);

    [Fact]
    public void With_a_multiplier_of_one_they_stay_up_while_nothing_is_lost()
    {
        var pair = new Pair(new World(1, 50, 50, 1, 1, 0.01, -0.01, 0, 0, 0.05));
        pair.RunUntil(TimeSpan.FromSeconds(60), () => pair.IsSettled);

        pair.Run(TimeSpan.FromSeconds(60));

        Assert.Equal((1L, 0L, 1L, 0L), (pair.A.Session.Ups, pair.A.Session.Downs, pair.B.Session.Ups, pair.B.Session.Downs));
    }

    [Fact]
    public void An_end_that_starts_anew_is_heard_by_the_other_which_comes_up_with_it_again()
    {
        var pair = new Pair(new World(3, 50, 100, 3, 3, 0, 0, 0, 0, 0.1));
        pair.RunUntil(TimeSpan.FromSeconds(60), () => pair.IsSettled);

        pair.Restart();
        pair.RunUntil(TimeSpan.FromSeconds(60), () => pair.IsSettled);

        Assert.True(pair.IsSettled);
        Assert.Equal(1, pair.B.Session.Downs);
    }

    private sealed class End(BfdSession session, double drift)
    {
        public BfdSession Session { get; set; } = session;
        public TimeSpan DownAt { get; set; }
        public TimeSpan DetectionTime { get; set; }

        /// <summary>Packets of this end that were lost since the last one that was not.</summary>
        public int LostInARow { get; set; }

        public TimeSpan Clock(TimeSpan time) => time * (1 + drift);
        public TimeSpan TimeOf(TimeSpan clock) => clock == TimeSpan.MaxValue ? clock : clock / (1 + drift);
    }

    private sealed class Pair
    {
        private readonly World _world;
        private readonly Random _random;
        private readonly PriorityQueue<(End To, BfdPacket Packet), TimeSpan> _network = new();
        private readonly byte[] _octets = new byte[BfdPacket.Length];
        private TimeSpan _now;
        private bool _cut;

        public Pair(World world)
        {
            _world = world;
            _random = new Random(world.Seed);
            A = new End(Session(1, world.IntervalA, world.MultiplierA), world.DriftA);
            B = new End(Session(2, world.IntervalB, world.MultiplierB), world.DriftB);
            MostDelay = TimeSpan.FromMilliseconds(Math.Min(world.IntervalA, world.IntervalB) * world.Delay);
        }

        public End A { get; }
        public End B { get; }
        public TimeSpan MostDelay { get; }
        public bool IsSettled => IsSettledAt(A, _world.IntervalA) && IsSettledAt(B, _world.IntervalB);

        public void Restart() => A.Session = Session(3, _world.IntervalA, _world.MultiplierA);

        /// <summary>From now on nothing is sent that arrives.</summary>
        public TimeSpan Cut()
        {
            _cut = true;
            return _now;
        }

        public void Run(TimeSpan time)
        {
            var end = _now + time;
            RunUntil(time, () => _now >= end);
        }

        public void RunUntil(TimeSpan atMost, Func<bool> condition)
        {
            var end = _now + atMost;
            while (_now < end && !condition())
            {
                var next = Earlier(A.TimeOf(A.Session.Deadline), B.TimeOf(B.Session.Deadline));
                if (_network.TryPeek(out _, out var arrives) && arrives <= next)
                    next = arrives;
                // Clocks of other rates do not meet to the tick.
                _now = next > _now ? next : _now + TimeSpan.FromTicks(1);
                while (_network.TryPeek(out var due, out var at) && at <= _now)
                {
                    _network.Dequeue();
                    Arrive(due.To, due.Packet);
                }
                Advance(A);
                Advance(B);
            }
        }

        private void Arrive(End to, BfdPacket packet)
        {
            packet.Encode(_octets);
            Assert.Equal(BfdDiscard.None, BfdPacket.TryDecode(_octets, out var decoded));
            // As the transport does: who is meant by a discriminator that is not there is nobody.
            if (decoded.YourDiscriminator != 0 && decoded.YourDiscriminator != to.Session.LocalDiscriminator)
                return;
            Perform(to, () => to.Session.Receive(decoded, to.Clock(_now), out var work) == BfdDiscard.None ? work : BfdWork.None);
        }

        private void Advance(End end)
        {
            if (end.Session.Deadline <= end.Clock(_now))
                Perform(end, () => end.Session.Advance(end.Clock(_now)));
        }

        private void Perform(End end, Func<BfdWork> step)
        {
            if (end.Session.State == BfdState.Up)
                end.DetectionTime = end.Session.DetectionTime;
            var work = step();
            if (work.HasFlag(BfdWork.StateChanged) && end.Session.State == BfdState.Down)
                end.DownAt = _now;
            if (work.HasFlag(BfdWork.Final))
                Send(end, end.Session.ComposeFinal());
            if (work.HasFlag(BfdWork.Send))
                Send(end, end.Session.Compose());
        }

        // One more packet gets through before jitter and delay can make the neighbour's patience end.
        private void Send(End from, BfdPacket packet)
        {
            var most = Math.Max(0, (from == A ? _world.MultiplierA : _world.MultiplierB) - 2);
            if (_cut || (from.LostInARow < most && _random.NextDouble() < _world.Loss))
            {
                from.LostInARow++;
                return;
            }
            from.LostInARow = 0;
            for (var copies = _random.NextDouble() < _world.Repeat ? 2 : 1; copies > 0; copies--)
                _network.Enqueue((from == A ? B : A, packet), _now + (MostDelay * _random.NextDouble()));
        }

        private BfdSession Session(uint discriminator, int interval, int multiplier) => new(discriminator,
            new BfdParameters { Interval = TimeSpan.FromMilliseconds(interval), Multiplier = multiplier }, _random, _now);

        // Both say that they are up, and the neighbour has confirmed the interval.
        private static bool IsSettledAt(End end, int interval) => end.Session is { State: BfdState.Up, RemoteState: BfdState.Up }
            && end.Session.DesiredMinTx == TimeSpan.FromMilliseconds(interval) && !end.Session.Compose().Poll;

        private static TimeSpan Earlier(TimeSpan a, TimeSpan b) => a < b ? a : b;
    }
}
