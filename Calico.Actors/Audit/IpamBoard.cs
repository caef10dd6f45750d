using Calico.Core.Ipam;

namespace Calico.Actors.Audit;

/// <summary>Where the audit of IPAM leaves its figures for whoever serves metrics. Thread-safe.</summary>
public sealed class IpamBoard
{
    private volatile IpamFigures? _figures;

    /// <summary>The cluster's figures; null while another member, or nobody, has them.</summary>
    public IpamFigures? Figures => _figures;

    internal void Put(IpamFigures? figures) => _figures = figures;
}
