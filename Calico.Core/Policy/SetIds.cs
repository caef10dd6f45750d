using Calico.Core.Model;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Policy;

/// <summary>
/// Calico's set ids: hashes over what a set means, so that every node and every release names equal sets alike.
/// </summary>
internal static class SetIds
{
    /// <summary><c>s:</c> id of the endpoints a selector selects.</summary>
    public static SetDefinition OfSelector(Selector selector) =>
        new(selector.Id, SetKind.Selector) { Selector = selector.CanonicalText };

    /// <summary><c>n:</c> id of a named port; 0 as protocol stands for any.</summary>
    public static SetDefinition OfNamedPort(Selector selector, byte protocol, string port)
    {
        var name = protocol == 0 ? "any" : IpProtocol.NameOf(protocol);
        return new SetDefinition(UniqueId.Make("n", $"{selector.Id},{name},{port}"), SetKind.NamedPort)
        {
            Selector = selector.CanonicalText,
            PortName = port,
            Protocol = protocol,
        };
    }

    /// <summary><c>svc:</c> id with ports, <c>svcnoport:</c> id without, of a service named <c>namespace/name</c>.</summary>
    public static string OfService(string service, SetKind kind) =>
        UniqueId.Make(kind == SetKind.Service ? "svc" : "svcnoport", service);

    public static SetDefinition ServiceSet(string service, SetKind kind) =>
        new(OfService(service, kind), kind) { Service = service };
}
