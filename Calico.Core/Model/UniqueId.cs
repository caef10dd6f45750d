using System.Buffers.Text;
using System.Text;

namespace Calico.Core.Model;

/// <summary>
/// Calico's content ids: <c>prefix:</c> and the unpadded base64url of SHA-224 over <c>prefix:content</c>. Selectors use
/// the prefix <c>s</c>; equal content has an equal id on every node and in every release.
/// </summary>
public static class UniqueId
{
    public static string Make(string prefix, string content)
    {
        var hash = Sha224.HashData(Encoding.UTF8.GetBytes(string.Concat(prefix, ":", content)));
        return string.Concat(prefix, ":", Base64Url.EncodeToString(hash));
    }
}
