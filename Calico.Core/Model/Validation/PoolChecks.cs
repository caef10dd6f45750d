using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Validation;

/// <summary>The rules of IP pools.</summary>
internal static class PoolChecks
{
    private static readonly Cidr LinkLocalV4 = Cidr.Parse("169.254.0.0/16");
    private static readonly Cidr LinkLocalV6 = Cidr.Parse("fe80::/10");

    public static void Pool(IPPoolSpec pool, ErrorList errors)
    {
        Uses(pool, errors);
        errors.When(IsOn(pool.IpipMode) && IsOn(pool.VxlanMode), "spec", "ipipMode and vxlanMode cannot both be enabled");
        if (pool.Cidr is null)
            return;
        if (!Cidr.TryParse(pool.Cidr, out var cidr))
        {
            if (Formats.Problem(FieldFormat.Cidr, pool.Cidr) is null)
                errors.Add("IPPool.Spec.CIDR", pool.Cidr, "IPPool CIDR must be a valid subnet: add its prefix length");
            return; // else reported by the field's format
        }
        errors.When(!cidr.IsV4 && IsOn(pool.IpipMode), "spec.ipipMode", "IPIP is not supported on IPv6 pools: use vxlanMode");
        if (!cidr.IsMasked)
            errors.Add("IPPool.Spec.CIDR", cidr.Network.ToString(), $"IP pool CIDR is not strictly masked: {pool.Cidr} was given");
        if (cidr.Overlaps(LinkLocalV4))
            errors.Add("IPPool.Spec.CIDR", pool.Cidr, "IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16");
        if (cidr.Overlaps(LinkLocalV6))
            errors.Add("IPPool.Spec.CIDR", pool.Cidr, "IPPool CIDR overlaps with IPv6 link local range fe80::/10");
        BlockSize(pool, cidr, errors);
    }

    private static void BlockSize(IPPoolSpec pool, Cidr cidr, ErrorList errors)
    {
        var (smallest, largest, usual) = cidr.IsV4
            ? (20, 32, IPPoolSpec.DefaultBlockSizeV4)
            : (116, 128, IPPoolSpec.DefaultBlockSizeV6);
        if (pool.BlockSize != 0 && (pool.BlockSize < smallest || pool.BlockSize > largest))
        {
            errors.Add("spec.blockSize", $"{pool.BlockSize}",
                "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools");
            return;
        }
        var blockSize = pool.BlockSize == 0 ? usual : pool.BlockSize;
        errors.When(!pool.Disabled && cidr.PrefixLength > blockSize, "spec",
            "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.");
    }

    private static void Uses(IPPoolSpec pool, ErrorList errors)
    {
        errors.When(pool.AllowedUses.Contains(IPPoolUse.Tunnel) && pool.NamespaceSelector is not null, "spec.namespaceSelector",
            "IP Pool with AllowedUse Tunnel cannot have namespaceSelector");
        if (!pool.AllowedUses.Contains(IPPoolUse.LoadBalancer))
            return;
        errors.When(IsOn(pool.IpipMode) || IsOn(pool.VxlanMode), "spec", "LoadBalancer IP pool cannot have IPIP or VXLAN enabled");
        errors.When(pool.AllowedUses.Any(u => u is IPPoolUse.Workload or IPPoolUse.Tunnel), "spec.allowedUses", "LoadBalancer cannot be combined with Workload or Tunnel allowed uses");
        errors.When(pool.DisableBGPExport, "spec.disableBGPExport", "LoadBalancer IP pools cannot disable BGP export");
        errors.When(pool.NodeSelector is not "all()", "spec.nodeSelector",
            "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()");
    }

    private static bool IsOn(string? mode) => mode is not (null or EncapsulationMode.Never);
}
