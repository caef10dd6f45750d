using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

/// <summary>
/// Two machines joined by a model of TCP whose deliveries, timers and losses come in any order: whatever the order,
/// both must agree on one transport in the end.
/// </summary>
[Layer("unit")]
public class SessionPairTests
{
    [Fact]
    public void Two_active_speakers_always_end_with_one_common_transport() =>
        Gen.Select(Gen.Int[0, 1000].Array[400], Gen.Bool).Sample((choices, passive) =>
        {
            var net = new Network(passive);
            net.Run(choices);
            Assert.Equal((SessionPhase.Established, SessionPhase.Established), net.Phases);
            Assert.True(net.SameTransport);
        }, iter: 2000);

    [Fact]
    public void They_find_together_again_after_losing_transports_at_any_moment() =>
        Gen.Select(Gen.Int[0, 1000].Array[600], Gen.Int[1, 100].Array[1, 4]).Sample((choices, losses) =>
        {
            var net = new Network(passive: false);
            var at = 0;
            foreach (var loss in losses)
            {
                net.Walk(choices.AsSpan(at, loss));
                net.BreakAll();
                at += loss;
            }
            net.Run(choices);
            Assert.Equal((SessionPhase.Established, SessionPhase.Established), net.Phases);
            Assert.True(net.SameTransport);
        }, iter: 500);

    private sealed class Network
    {
        private static readonly SessionClock Clock = new(DateTimeOffset.UnixEpoch, 1);

        private readonly Speaker[] _speakers;
        private readonly List<(int To, int Transport, Action Deliver)> _wire = [];
        private int _transports;

        public Network(bool passive)
        {
            _speakers = [new Speaker(this, 0, "10.0.0.1", "10.0.0.2", false),
                new Speaker(this, 1, "10.0.0.2", "10.0.0.1", passive)];
            foreach (var speaker in _speakers)
                speaker.On(new SessionEvent.Start());
        }

        public (SessionPhase, SessionPhase) Phases => (_speakers[0].State.Phase, _speakers[1].State.Phase);

        public bool SameTransport => _speakers.All(s => s.State.Connections.Length == 1)
            && _speakers[0].State.Connections[0].Id == _speakers[1].State.Connections[0].Id;

        /// <summary>Takes one possible step for each choice: a delivery (in order within a transport) or a timer.</summary>
        public void Walk(ReadOnlySpan<int> choices)
        {
            foreach (var choice in choices)
            {
                var heads = _wire.GroupBy(w => (w.To, w.Transport)).Select(g => g.First()).ToList();
                var timers = _speakers.SelectMany(s => s.Timers.Select(t => (s, t))).ToList();
                if (heads.Count + timers.Count == 0)
                    return;
                // Timers are slow against the wire, but not infinitely so.
                if (heads.Count > 0 && (timers.Count == 0 || choice % 10 != 0))
                {
                    var head = heads[choice % heads.Count];
                    _wire.Remove(head);
                    head.Deliver();
                }
                else
                {
                    var (speaker, timer) = timers[choice % timers.Count];
                    speaker.Timers.Remove(timer);
                    speaker.On(new SessionEvent.TimerExpired(timer));
                }
            }
        }

        /// <summary>Random steps, then only what must happen until nothing is left to do.</summary>
        public void Run(ReadOnlySpan<int> choices)
        {
            Walk(choices);
            for (var i = 0; i < 200
                && !(SameTransport && Phases == (SessionPhase.Established, SessionPhase.Established)); i++)
            {
                Walk([1]);
                if (_wire.Count == 0 && _speakers.SelectMany(s => s.Timers).Any())
                    Walk([0]);
            }
        }

        public void BreakAll()
        {
            _wire.Clear();
            foreach (var speaker in _speakers)
            {
                speaker.On(new SessionEvent.DialFailed(TransportFault.Reset, "broken"));
                foreach (var connection in speaker.State.Connections)
                    speaker.On(new SessionEvent.TransportFailed(connection.Id, TransportFault.Reset, "broken"));
            }
        }

        public void Dial(int from)
        {
            var id = new ConnectionId(++_transports);
            Send(1 - from, id.Number, () =>
                _speakers[1 - from].On(new SessionEvent.TransportConnected(id, Direction.Incoming)));
            Send(from, id.Number, () =>
                _speakers[from].On(new SessionEvent.TransportConnected(id, Direction.Outgoing)));
        }

        public void Send(int to, int transport, Action deliver) => _wire.Add((to, transport, deliver));

        public Speaker Other(int number) => _speakers[1 - number];

        public sealed class Speaker(Network net, int number, string own, string peer, bool passive)
        {
            private readonly SessionConfig _config = new()
            {
                LocalAs = new Asn(64512),
                PeerAs = new Asn(64512),
                RouterId = RouterId.Parse(own),
                PeerAddress = IpAddr.Parse(peer),
                Passive = passive,
            };

            public SessionState State { get; private set; } = SessionState.Initial;

            // Hold timers never expire here: nothing stays silent for ninety seconds.
            public List<SessionTimer> Timers { get; } = [];

            public void On(SessionEvent e)
            {
                (State, var effects) = SessionMachine.Step(State, e, _config, Clock);
                foreach (var effect in effects)
                    Perform(effect);
            }

            private void Perform(SessionEffect effect)
            {
                var other = net.Other(number);
                switch (effect)
                {
                    case SessionEffect.Dial:
                        net.Dial(number);
                        break;
                    case SessionEffect.SendOpen x:
                        net.Send(1 - number, x.Connection.Number, () =>
                            other.On(new SessionEvent.OpenReceived(x.Connection, x.Open)));
                        break;
                    case SessionEffect.SendKeepalive x:
                        net.Send(1 - number, x.Connection.Number, () =>
                            other.On(new SessionEvent.KeepaliveReceived(x.Connection)));
                        break;
                    case SessionEffect.SendNotification x:
                        net.Send(1 - number, x.Connection.Number, () =>
                            other.On(new SessionEvent.NotificationReceived(x.Connection, x.Message)));
                        break;
                    case SessionEffect.CloseTransport x:
                        net.Send(1 - number, x.Connection.Number, () =>
                            other.On(new SessionEvent.TransportFailed(x.Connection, TransportFault.ClosedByPeer,
                            "closed")));
                        break;
                    case SessionEffect.StartTimer { Timer.Kind: TimerKind.ConnectRetry or TimerKind.IdleHold } x:
                        Timers.Remove(x.Timer);
                        Timers.Add(x.Timer);
                        break;
                    case SessionEffect.StopTimer x:
                        Timers.Remove(x.Timer);
                        break;
                }
            }
        }
    }
}
