using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Rules;

/// <summary>The routing policy rules of a <see cref="FakeNetworkNamespace"/>.</summary>
public sealed class FakeRuleTable : IRuleTable
{
    private const byte ProtocolKernel = 2;
    private readonly FakeNamespaceState _state;

    internal FakeRuleTable(FakeNamespaceState state) => _state = state;

    public long WriteCount { get; private set; }

    public IReadOnlyList<RoutingRule> Dump(IpVersion? family = null)
    {
        lock (_state.Kernel.Gate)
            return [.. _state.Rules.Where(r => family is null || r.Family == family).OrderBy(r => r.Family)];
    }

    public void Add(RoutingRule rule)
    {
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit("add rule", rule.ToString());
            if (_state.Rules.Exists(r => IsSame(r, rule)))
                return;
            // Behind the others of its priority.
            var index = _state.Rules.FindIndex(r => r.Family == rule.Family && r.Priority > rule.Priority);
            _state.Rules.Insert(index < 0 ? _state.Rules.Count : index, Stored(rule));
            WriteCount++;
        }
    }

    public void Delete(RoutingRule rule)
    {
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit("delete rule", rule.ToString());
            var index = _state.Rules.FindIndex(r => IsSame(r, rule));
            if (index < 0)
                return;
            _state.Rules.RemoveAt(index);
            WriteCount++;
        }
    }

    public void Dispose()
    {
    }

    internal static List<RoutingRule> BuiltIn() =>
    [
        new(IpVersion.V4, 0, 255) { Protocol = ProtocolKernel },
        new(IpVersion.V4, 32766, 254) { Protocol = ProtocolKernel },
        new(IpVersion.V4, 32767, 253) { Protocol = ProtocolKernel },
        new(IpVersion.V6, 0, 255) { Protocol = ProtocolKernel },
        new(IpVersion.V6, 32766, 254) { Protocol = ProtocolKernel },
    ];

    private static bool IsSame(RoutingRule a, RoutingRule b) => Stored(a) with { Protocol = 0 } == Stored(b) with { Protocol = 0 };

    // A mark without mask matches nothing in particular; a prefix of length 0 is none.
    private static RoutingRule Stored(RoutingRule rule) => rule with
    {
        Mark = rule.MarkMask == 0 ? 0 : rule.Mark,
        Source = rule.Source is { PrefixLength: > 0 } ? rule.Source : null,
        Destination = rule.Destination is { PrefixLength: > 0 } ? rule.Destination : null,
    };
}
